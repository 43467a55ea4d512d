import { statSync } from 'node:fs';
import type { Memory } from '../../kernels/memory.js';
import { alignedMemory } from './aligned-memory.js';
import { FlashError } from './flash-error.js';
import { ReadState, type Flash } from './flash.js';
import { NativeFlash } from './native-flash.js';
import { DIRECT_BLOCK } from './read-request.js';

/** Longer reads are no faster, and eight of them must fit in memory and in the bytes of a probe. */
const LARGEST_EXTENT = 2 * 2 ** 20;
const MOST_MEMORY = 16 * 2 ** 20;
const MOST_LANES = 8;
/** Reads asked for at once, so that a lane that ends finds the next read waiting. */
const DEPTH = 2 * MOST_LANES;
const LATENCY_READS = 5;

/** The extents of one file in an order far from sequential, and memory to read them into. */
export class ProbeTarget {
  /** Bytes of a read; a multiple of 4 KiB. */
  readonly #extent: number;
  readonly #size: number;
  readonly #extents: number;
  readonly #step: number;
  /** Destinations are shared by reads under way when extents are large; nobody looks at the bytes. */
  readonly #destinations: readonly Memory[];
  readonly #states: readonly Memory[];
  #next = 0;
  #turn = 0;

  /** Throws FlashError when the file is missing or empty. */
  constructor(
    private readonly path: string,
    extentBytes: number,
  ) {
    this.#size = sizeOf(path);
    this.#extent = wholeBlocks(Math.min(extentBytes, LARGEST_EXTENT, this.#size));
    this.#extents = Math.ceil(this.#size / this.#extent);
    this.#step = strideThrough(this.#extents);
    const count = Math.min(Math.max(1, Math.floor(MOST_MEMORY / this.#extent)), DEPTH);
    const memory = alignedMemory(count * this.#extent);
    memory.bytes.fill(1); // pages come into being on first use, which is not to be measured
    this.#destinations = Array.from({ length: count }, (_, i) =>
      memory.slice(i * this.#extent, this.#extent),
    );
    const states = alignedMemory(DEPTH * 4);
    this.#states = Array.from({ length: DEPTH }, (_, i) => states.slice(i * 4, 4));
  }

  /**
   * Reads for `ms` or `bytes`, whichever ends first, at least one extent per lane. Returns bytes and busy time.
   * Throws FlashError when a read fails, and the signal's reason.
   */
  async measure(
    flash: Flash,
    file: number,
    share: { ms: number; bytes: number },
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: number; ns: number }> {
    const before = flash.stats();
    const end = performance.now() + share.ms;
    let asked = 0;
    const enough = (): boolean =>
      signal?.aborted ||
      (asked >= flash.lanes && (performance.now() >= end || (asked + 1) * this.#extent > share.bytes));

    const waiting: { state: Memory; dispensable: boolean }[] = []; // in the order of submission
    while (waiting.length > 0 || !enough()) {
      while (waiting.length < 2 * flash.lanes && waiting.length < DEPTH && !enough())
        waiting.push({ state: this.#submit(flash, file), dispensable: asked++ >= flash.lanes });
      if (enough())
        for (const read of waiting) if (read.dispensable || signal?.aborted) flash.cancel(read.state);
      const oldest = waiting[0];
      if (oldest === undefined || !(await ended(flash, oldest.state))) continue;
      waiting.shift();
      const state = flash.wait(oldest.state);
      if (state < 0 && state !== ReadState.Cancelled) {
        await this.#drain(flash, waiting);
        throw FlashError.fromState(state, 'an extent', this.path);
      }
    }
    signal?.throwIfAborted();
    const after = flash.stats();
    return { bytes: after.bytes - before.bytes, ns: after.busyNs - before.busyNs };
  }

  /** Median time of one extent read alone, in µs. `flash` has one lane. */
  async latency(flash: Flash, file: number, ms: number, signal: AbortSignal | undefined): Promise<number> {
    const end = performance.now() + ms;
    const times: number[] = [];
    do {
      const { ns } = await this.measure(flash, file, { ms: 0, bytes: 0 }, signal);
      times.push(ns / 1000);
    } while (times.length < LATENCY_READS && performance.now() < end);
    return times.sort((a, b) => a - b)[times.length >> 1]!;
  }

  /** Asks for the next extent; returns its state word. At most DEPTH are under way. */
  #submit(flash: Flash, file: number): Memory {
    const offset = this.#next * this.#extent;
    this.#next = (this.#next + this.#step) % this.#extents;
    const turn = this.#turn++;
    const state = this.#states[turn % DEPTH]!;
    if (flash instanceof NativeFlash && !flash.isDirect(file)) flash.drop(file, offset, this.#extent);
    flash.submit([
      {
        file,
        offset,
        length: this.#extent,
        destination: this.#destinations[turn % this.#destinations.length]!,
        dataOffset: 0,
        dataLength: Math.min(this.#extent, this.#size - offset),
        crc32c: null,
        state,
        priority: 'demand',
      },
    ]);
    return state;
  }

  async #drain(flash: Flash, waiting: readonly { state: Memory }[]): Promise<void> {
    for (const { state } of waiting) flash.cancel(state);
    for (const { state } of waiting) while (!(await ended(flash, state)));
  }
}

/** Gives the event loop a turn, then waits up to a millisecond for the read; true when it has ended. */
async function ended(flash: Flash, state: Memory): Promise<boolean> {
  await new Promise((resolve) => setImmediate(resolve));
  return !(flash instanceof NativeFlash) || flash.waitAtMost(state, 1) !== ReadState.Pending;
}

function sizeOf(path: string): number {
  let size: number;
  try {
    size = statSync(path).size;
  } catch (error) {
    throw FlashError.fromOpen((error as NodeJS.ErrnoException).errno ?? 0, path);
  }
  if (size === 0) throw new FlashError('flash/open', `${path} is empty`, 'Copy or download the file again.');
  return size;
}

function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / DIRECT_BLOCK) * DIRECT_BLOCK;
}

/** A stride that visits all of `count` extents before any twice: coprime to `count`, near its golden section. */
function strideThrough(count: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let step = Math.max(1, Math.round(count * 0.618));
  while (gcd(step, count) !== 1) step++;
  return step;
}
