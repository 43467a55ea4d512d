import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { MemoryCgroup } from '../../test/engine/memory-cgroup.js';
import type { Call, OpenJob, Opened, Reply, RunJob, RunReport } from './contestant.js';

/** The parent's end of a contestant. */
export class ContestantProcess {
  private constructor(
    readonly who: 'ours' | 'peer',
    private readonly child: ChildProcess,
  ) {}

  /** Starts the bundled script of a contestant, inside `group` from its first page on. */
  static start(who: 'ours' | 'peer', group: MemoryCgroup | null = null): ContestantProcess {
    const name = who === 'ours' ? 'bench-engine.mjs' : 'bench-peer.mjs';
    const script = new URL(name, import.meta.url).pathname;
    const [command, args] = group?.command(process.execPath, [script]) ?? [process.execPath, [script]];
    const child = spawn(command, args, { stdio: ['ignore', 2, 2, 'ipc'], serialization: 'advanced' });
    return new ContestantProcess(who, child);
  }

  open(job: OpenJob): Promise<Opened> {
    return this.#call({ type: 'open', job });
  }

  run(job: RunJob): Promise<RunReport> {
    return this.#call({ type: 'run', job });
  }

  trace(): Promise<Uint8Array | null> {
    return this.#call({ type: 'trace' });
  }

  tokenize(text: string): Promise<readonly number[]> {
    return this.#call({ type: 'tokenize', text });
  }

  /** Ends the process and waits for that. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    if (this.child.connected) this.child.disconnect();
    await ended;
  }

  async #call<T>(call: Call): Promise<T> {
    const { child, who } = this;
    const reply = await new Promise<Reply>((resolve, reject) => {
      const ended = () => {
        child.off('message', heard);
        reject(
          new Error(`the process of ${who} ended (${child.signalCode ?? child.exitCode}) at "${call.type}"`),
        );
      };
      const heard = (message: Reply) => {
        child.off('exit', ended);
        resolve(message);
      };
      if (!child.connected) return ended();
      child.once('message', heard);
      child.once('exit', ended);
      child.send(call);
    });
    if ('error' in reply) throw new Error(`${who}: ${reply.error}`);
    return reply.value as T;
  }
}
