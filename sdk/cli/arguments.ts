import { InvalidArgumentError, type Command } from 'commander';
import type { EngineOptions } from '../index.js';

/** Reads a whole number of at least `least`. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Give a whole number of at least ${least}.`);
    return value;
  };
}

/** Reads a number of at least 0, such as 0.7. */
export function number(text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError('Give a number of at least 0.');
  return value;
}

/** Reads token ids: "1,2,3". */
export function tokenIds(text: string): number[] {
  if (!/^\d+(,\d+)*$/.test(text.trim())) throw new InvalidArgumentError('Give ids with commas: 1,2,3.');
  return text.split(',').map(Number);
}

/** The flags of {@link EngineOptions}, as commander names them. */
export interface EngineFlags {
  memory?: string;
  context?: number;
  threads?: number;
  kv?: string;
  batch?: number;
  policy?: string;
  flash?: string;
  lanes?: number;
  flashBackend?: string;
  slots?: number;
}

/** Adds the flags that say how to open a model. */
export function addEngineFlags(command: Command): Command {
  return command
    .option(
      '--memory <size>',
      'memory for the whole process: 600MiB, 1GiB (default: what the system can give)',
    )
    .option('--context <tokens>', 'tokens that a conversation can hold', whole(1))
    .option('--threads <n>', 'compute threads (default: every core)', whole(1))
    .option('--kv <type>', 'type of the KV cache: f16, q8_0 or f32 (default: f16)')
    .option('--batch <tokens>', 'tokens per pass while reading a prompt', whole(1))
    .option('--policy <name>', 'cache policy: layer-cycle, layer-lru, lfu or lru')
    .option('--flash <mode>', 'how flash is read: auto, direct or buffered (default: auto)')
    .option('--lanes <n>', 'reads in flight (default: measured)', whole(1))
    .option('--flash-backend <name>', 'who reads: pread or io_uring (default: measured)')
    .option('--slots <n>', 'most expert slots, below what memory allows', whole(1));
}

/** The flags as options; the library checks their values. */
export function engineOptions(flags: EngineFlags): EngineOptions {
  const options = {
    memory: flags.memory,
    contextLength: flags.context,
    threads: flags.threads,
    kv: flags.kv,
    batch: flags.batch,
    policy: flags.policy,
    flash: flags.flash,
    lanes: flags.lanes,
    flashBackend: flags.flashBackend,
    expertSlots: flags.slots,
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as EngineOptions;
}
