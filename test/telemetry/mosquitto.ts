import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Path of a Debian tool, or null. */
export function tool(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** Here, or promised: CI installs it, so there its absence is a failure, not a silence. */
export const hasMosquitto = tool('mosquitto') !== null || process.env['CI'] === 'true';

/** A port nobody has on the loopback interface. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** A mosquitto of its own, in a folder of its own; can be killed and started again on the same port. */
export class Mosquitto {
  readonly folder = mkdtempSync(join(tmpdir(), 'pocketmoe-mosquitto-'));
  #process: ChildProcess | null = null;
  #log = '';

  constructor(readonly port: number) {}

  /** Writes a file into the folder and returns its path. */
  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** @param lines configuration beside listener and persistence */
  async start(lines: readonly string[] = ['allow_anonymous true']): Promise<void> {
    const program = tool('mosquitto');
    if (program === null)
      throw new Error('mosquitto is missing: apt-get install mosquitto mosquitto-clients');
    const root = process.getuid?.() === 0 ? ['user root'] : [];
    const config = this.file(
      'mosquitto.conf',
      ['per_listener_settings false', `listener ${this.port} 127.0.0.1`, ...root, ...lines, ''].join('\n'),
    );
    const child = spawn(program, ['-c', config], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    const log = (text: Buffer) => (this.#log = (this.#log + text.toString()).slice(-4000));
    child.stdout.on('data', log);
    child.stderr.on('data', log);
    while (!(await answers(this.port))) {
      if (child.exitCode !== null) throw new Error(`mosquitto ended: ${this.#log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** kill -9, or an orderly end. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
