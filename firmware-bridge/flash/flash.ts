import type { Memory } from '../../kernels/memory.js';

/** Values of a read's state word; other negative values are -errno. */
export const ReadState = {
  Pending: 0,
  Landed: 1,
  Short: -10001,
  Corrupt: -10002,
  Cancelled: -10003,
} as const;

/** One positional read into engine memory. */
export interface FlashRead {
  /** From {@link Flash.open}. */
  readonly file: number;
  /** Byte offset in the file and bytes to read; 4 KiB multiples on a direct file. */
  readonly offset: number;
  readonly length: number;
  /**
   * Where the byte at `offset` lands. At least `length` bytes, 4 KiB aligned on a direct file. Its owner keeps it (and
   * {@link state}) until the read has ended; memory of JavaScript's own must stay referenced until then.
   */
  readonly destination: Memory;
  /** The wanted bytes inside the read. */
  readonly dataOffset: number;
  readonly dataLength: number;
  /** CRC32C of the wanted bytes, or null for no check. */
  readonly crc32c: number | null;
  /** int32 state word: see {@link ReadState}. */
  readonly state: Memory;
  readonly priority: 'demand' | 'prefetch';
}

/** Cumulative counters. `reads` are those that ended, failed ones included; `queued` and `inFlight` are now. */
export interface FlashStats {
  reads: number;
  bytes: number;
  failed: number;
  cancelled: number;
  corrupt: number;
  busyNs: number;
  queued: number;
  inFlight: number;
}

/** Faults for tests; see `pm_flash_inject` in `pocketmoe_flash.h`. */
export type FlashFault =
  | { kind: 'none' }
  | { kind: 'eio' | 'short' | 'flip'; read: number }
  | { kind: 'fragment'; bytes: number }
  | { kind: 'jitter'; seed: number; maxUs: number }
  | { kind: 'delay'; us: number };

/**
 * Asynchronous positional reads from flash. Two implementations: native lanes (`native-flash.ts`) and, without a
 * compiler, synchronous reads through `node:fs` (`fallback-flash.ts`).
 */
export interface Flash {
  /** "pread", "io_uring" or "fallback". */
  readonly backend: string;
  readonly lanes: number;
  /**
   * Opens a file for reading. With `direct`, O_DIRECT is tried, verified and given up for buffered reads when the
   * file system refuses it. Throws {@link FlashError} naming the path.
   */
  open(path: string, direct: boolean): number;
  isDirect(file: number): boolean;
  /** Queues reads and returns at once. Throws FlashError on an impossible field; then none is queued. */
  submit(reads: readonly FlashRead[]): void;
  /** True when the read was still queued; its state becomes Cancelled. */
  cancel(state: Memory): boolean;
  /** Turns a queued prefetch into a demand read. */
  promote(state: Memory): boolean;
  /** Blocks until the word is no longer pending; returns it. */
  wait(state: Memory): number;
  /** Reads in flight at most, 1 to 64; takes effect while running. */
  setLanes(lanes: number): void;
  stats(): FlashStats;
  inject(fault: FlashFault): void;
  crc32c(bytes: Memory, length: number): number;
  /** Cancels what is queued, waits for what is in flight, closes files. May be called twice. */
  close(): void;
}
