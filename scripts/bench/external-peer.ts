import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { MemoryCgroup } from '../../test/engine/memory-cgroup.js';

/** One decode run of an engine that is a program of its own. */
export interface ExternalJob {
  readonly model: string;
  readonly threads: number;
  readonly warm: number;
  readonly count: number;
}

/**
 * Tokens per second of a program called as `PROGRAM MODEL THREADS 0 COUNT 1 0 32` with WARM=tokens in its environment,
 * which prints `tg tok/s min A med B …`. Throws Error when it fails or prints no such thing.
 */
export async function decodeExternally(
  program: string,
  { model, threads, warm, count }: ExternalJob,
  group: MemoryCgroup,
): Promise<number> {
  const numbers = [threads, 0, count, 1, 0, 32].map(String);
  const { stdout } = await promisify(execFile)(...group.command(program, [model, ...numbers]), {
    env: { ...process.env, WARM: String(warm) },
  });
  const found = /\btg tok\/s min [\d.]+ med ([\d.]+)/.exec(stdout);
  if (!found) throw new Error(`${program} printed no "tg tok/s min … med …"`);
  return Number(found[1]);
}
