import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A memory cgroup (version 1 or 2) for one command, page cache included; needs root. */
export class MemoryCgroup {
  private constructor(
    private readonly folder: string,
    private readonly version: 1 | 2,
  ) {}

  /** Null where cgroups cannot be made (no root, no controller). */
  static create(limitBytes: number, name = `pocketmoe-test-${process.pid}`): MemoryCgroup | null {
    try {
      if (existsSync('/sys/fs/cgroup/memory')) {
        const folder = join('/sys/fs/cgroup/memory', name);
        mkdirSync(folder);
        writeFileSync(join(folder, 'memory.limit_in_bytes'), String(limitBytes));
        return new MemoryCgroup(folder, 1);
      }
      const folder = join('/sys/fs/cgroup', name);
      mkdirSync(folder);
      writeFileSync(join(folder, 'memory.max'), String(limitBytes));
      writeFileSync(join(folder, 'memory.swap.max'), '0');
      return new MemoryCgroup(folder, 2);
    } catch {
      return null;
    }
  }

  /** The command that runs `command` inside, from its first page on. */
  command(command: string, args: readonly string[]): [command: string, args: string[]] {
    const script = `echo $$ > "${join(this.folder, 'cgroup.procs')}" && exec "$0" "$@"`;
    return ['sh', ['-c', script, command, ...args]];
  }

  /** Runs a command inside; returns its standard output. Throws when it fails or is killed. */
  run(command: string, args: readonly string[]): string {
    return execFileSync(...this.command(command, args), { encoding: 'utf8', maxBuffer: 64 << 20 });
  }

  /** Processes killed for lack of memory. */
  kills(): number {
    const file = this.version === 1 ? 'memory.oom_control' : 'memory.events';
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.folder, file), 'utf8'))?.[1] ?? 0);
  }

  /** Most memory ever charged, page cache included. */
  peakBytes(): number {
    const file = this.version === 1 ? 'memory.max_usage_in_bytes' : 'memory.peak';
    return Number(readFileSync(join(this.folder, file), 'utf8'));
  }

  remove(): void {
    try {
      rmdirSync(this.folder);
    } catch {
      // its last page is still being freed: the empty group does no harm
    }
  }
}
