import { availableParallelism } from 'node:os';
import { OptionError } from '../error.js';
import type { KvType } from './kv-cache.js';
import { parseMemorySize } from './memory-size.js';

/** How to open a model. Everything has a default. */
export interface EngineOptions {
  /**
   * Memory for the whole process, Node included: "1GiB", "600MiB" or bytes. Default: all that the model can use,
   * at most 70 % of what the system can give.
   */
  memory?: string | number;
  /** Tokens that a session holds. Default: the model's context, at most 4096. */
  contextLength?: number;
  /** Compute threads. Default: every core this process may use. */
  threads?: number;
  /** Type of the KV cache. Default f16. */
  kv?: KvType;
  /** Most tokens per pass through the layers while reading a prompt. Default: 512, less when memory is short. */
  batch?: number;
  /** Cache policy by name. Default: the one `docs/cache-policies.md` found best. */
  policy?: string;
  /** How flash is read. Default auto: measured on the model's own file when experts must be streamed. */
  flash?: 'auto' | 'direct' | 'buffered';
  /** Reads in flight. Default: measured with flash "auto", else 4. */
  lanes?: number;
  /** Who reads. Default: measured with flash "auto", else pread. */
  flashBackend?: 'pread' | 'io_uring';
  /** Upper bound on expert slots, below what memory allows. Default none. */
  expertSlots?: number;
}

/** Options with defaults filled in; undefined means "to be measured or planned". */
export interface ResolvedOptions {
  readonly memory: number | undefined;
  readonly contextLength: number | undefined;
  readonly threads: number;
  readonly kv: KvType;
  readonly batch: number | undefined;
  readonly policy: string | undefined;
  readonly flash: 'auto' | 'direct' | 'buffered';
  readonly lanes: number | undefined;
  readonly flashBackend: 'pread' | 'io_uring' | undefined;
  readonly expertSlots: number | undefined;
}

const MOST_THREADS = 256;
const MOST_LANES = 64;

/** A whole number from 1 to `max`, or undefined. Throws OptionError naming the option. */
function wholeNumber(name: string, value: unknown, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > max)
    throw new OptionError(
      `option/${name}`,
      `${name} is ${String(value)}`,
      `Give a whole number from 1 to ${max}.`,
    );
  return value;
}

/** Checks limits that are given while running. Throws OptionError ("option/threads", "option/lanes"). */
export function checkLimits(limits: { threads?: number | undefined; lanes?: number | undefined }): {
  threads: number | undefined;
  lanes: number | undefined;
} {
  return {
    threads: wholeNumber('threads', limits.threads, MOST_THREADS),
    lanes: wholeNumber('lanes', limits.lanes, MOST_LANES),
  };
}

/** Checks every option. Throws OptionError naming the option and what it takes. */
export function resolveOptions(options: EngineOptions): ResolvedOptions {
  const whole = (name: keyof EngineOptions, max: number) => wholeNumber(name, options[name], max);
  const one = <T extends string>(name: keyof EngineOptions, allowed: readonly T[]): T | undefined => {
    const value = options[name];
    if (value === undefined) return undefined;
    if (!allowed.includes(value as T))
      throw new OptionError(
        `option/${name}`,
        `${name} is "${value}"`,
        `Known values: ${allowed.join(', ')}.`,
      );
    return value as T;
  };
  return {
    memory: options.memory === undefined ? undefined : parseMemorySize(options.memory),
    contextLength: whole('contextLength', 16_777_216),
    threads: whole('threads', MOST_THREADS) ?? availableParallelism(),
    kv: one('kv', ['f16', 'q8_0', 'f32']) ?? 'f16',
    batch: whole('batch', 4096),
    policy: options.policy,
    flash: one('flash', ['auto', 'direct', 'buffered']) ?? 'auto',
    lanes: whole('lanes', MOST_LANES),
    flashBackend: one('flashBackend', ['pread', 'io_uring']),
    expertSlots: whole('expertSlots', 1_000_000),
  };
}
