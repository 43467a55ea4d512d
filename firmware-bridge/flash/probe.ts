import { FallbackFlash } from './fallback-flash.js';
import { FlashError } from './flash-error.js';
import type { Flash } from './flash.js';
import { NativeFlash } from './native-flash.js';
import { ProbeTarget } from './probe-target.js';

export interface ProbeOptions {
  /** Bytes of the model's own reads; rounded up to 4 KiB, measured with at most 2 MiB. */
  readonly extentBytes: number;
  /** Time for all measurements; slow reads under way are finished beyond it. Default 300 ms. */
  readonly budgetMs?: number;
  readonly signal?: AbortSignal;
}

/** A way to read a file. */
export interface FlashWay {
  readonly backend: 'pread' | 'io_uring';
  readonly direct: boolean;
  readonly lanes: number;
}

/** How fast one way was. */
export interface ProbeMeasurement extends FlashWay {
  readonly bytes: number;
  /** Bytes per second of the time with at least one read in flight. */
  readonly bytesPerSecond: number;
}

/** The simplest way within 5 % of the fastest, and what was measured to find it. */
export interface ProbeResult extends FlashWay {
  readonly bytesPerSecond: number;
  /** Median time of one extent read alone, the chosen way. */
  readonly latencyUs: number;
  readonly measurements: readonly ProbeMeasurement[];
}

const MOST_BYTES = 256 * 2 ** 20;
const GOOD_ENOUGH = 0.95;
/** Ways this near to the fastest are measured once more: short measurements scatter. */
const WORTH_REPEATING = 0.8;
/** In the order of their promise: a device so slow that time runs out has seen the first ones. */
const LANES = [4, 1, 8, 2];

/**
 * Measures how a file is read fastest: random extents, direct against buffered, 1 to 8 lanes, pread against io_uring.
 * Reads at most 256 MiB, into at most 16 MiB of memory. Before a buffered read the page cache gives up
 * what is about to be read. Without the native library the one way there is gets measured, as lanes 1, pread, buffered.
 * The thread is not blocked for more than a millisecond at a time, except without the native library.
 * Throws FlashError when the file cannot be opened, is empty or fails to be read, and the signal's reason.
 */
export async function probe(path: string, options: ProbeOptions): Promise<ProbeResult> {
  const { extentBytes, budgetMs = 300, signal } = options;
  if (!Number.isSafeInteger(extentBytes) || extentBytes < 1)
    throw new FlashError(
      'flash/request',
      `extents of ${extentBytes} bytes`,
      'Give a whole number of at least 1.',
    );
  if (!(budgetMs > 0))
    throw new FlashError('flash/request', `a budget of ${budgetMs} ms`, 'Give a positive time.');
  signal?.throwIfAborted();

  const target = new ProbeTarget(path, extentBytes);
  const device = new ProbeDevice(path);
  try {
    const end = performance.now() + budgetMs;
    const ways = device.ways();
    const totals = new Map<FlashWay, { bytes: number; ns: number }>();
    const measure = async (way: FlashWay, share: { ms: number; bytes: number }): Promise<void> => {
      const [flash, file] = device.prepare(way);
      const { bytes, ns } = await target.measure(flash, file, share, signal);
      const total = totals.get(way);
      totals.set(way, { bytes: bytes + (total?.bytes ?? 0), ns: ns + (total?.ns ?? 0) });
    };
    const measured = (): ProbeMeasurement[] =>
      [...totals].map(([way, { bytes, ns }]) => ({
        ...way,
        bytes,
        bytesPerSecond: (bytes / Math.max(ns, 1)) * 1e9,
      }));

    // Half of the budget for a first look at every way, the rest for the near ones.
    const look = { ms: budgetMs / 2 / ways.length, bytes: MOST_BYTES / 2 / ways.length };
    for (const way of ways) if (totals.size < 2 || performance.now() < end) await measure(way, look);
    const finalists = [...totals.keys()].filter(nearFastest(measured(), WORTH_REPEATING));
    const left = end - performance.now();
    if (left > 0 && finalists.length > 1) {
      const again = { ms: left / finalists.length, bytes: MOST_BYTES / 2 / finalists.length };
      for (const way of finalists) if (performance.now() < end) await measure(way, again);
    }

    const measurements = measured();
    const chosen = simplest(measurements.filter(nearFastest(measurements, WORTH_REPEATING)));
    const { backend, direct, lanes, bytesPerSecond } = chosen;
    const latencyUs = await target.latency(...device.prepare({ ...chosen, lanes: 1 }), look.ms, signal);
    return { backend, direct, lanes, bytesPerSecond, latencyUs, measurements };
  } finally {
    device.close();
  }
}

/**
 * Of the ways within 5 % of the fastest: pread before io_uring, then few lanes, then direct, which leaves the page
 * cache alone. `measurements` is not empty.
 */
export function simplest(measurements: readonly ProbeMeasurement[]): ProbeMeasurement {
  const fastest = Math.max(...measurements.map((m) => m.bytesPerSecond));
  return measurements
    .filter((m) => m.bytesPerSecond >= fastest * GOOD_ENOUGH)
    .sort(
      (a, b) =>
        Number(a.backend === 'io_uring') - Number(b.backend === 'io_uring') ||
        a.lanes - b.lanes ||
        Number(b.direct) - Number(a.direct),
    )[0]!;
}

function nearFastest(measurements: readonly ProbeMeasurement[], share: number): (way: FlashWay) => boolean {
  const fastest = Math.max(...measurements.map((m) => m.bytesPerSecond));
  const near = measurements.filter((m) => m.bytesPerSecond >= fastest * share);
  return (way) =>
    near.some((m) => m.backend === way.backend && m.direct === way.direct && m.lanes === way.lanes);
}

/** The file opened every way that this machine has. */
class ProbeDevice {
  readonly #flashes = new Map<FlashWay['backend'], Flash>();
  /** By backend and mode. */
  readonly #files = new Map<string, number>();
  readonly #native: boolean;

  constructor(path: string) {
    for (const backend of ['pread', 'io_uring'] as const) {
      const flash = NativeFlash.start(1, backend);
      if (flash !== null) this.#flashes.set(backend, flash);
    }
    this.#native = this.#flashes.size > 0;
    if (!this.#native) this.#flashes.set('pread', new FallbackFlash(1));
    try {
      for (const [backend, flash] of this.#flashes)
        for (const direct of [true, false]) {
          const file = flash.open(path, direct);
          if (flash.isDirect(file) === direct) this.#files.set(`${backend} ${direct}`, file);
        }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  ways(): FlashWay[] {
    const ways: FlashWay[] = [];
    for (const backend of this.#flashes.keys())
      for (const lanes of this.#native ? LANES : [1])
        for (const direct of [true, false])
          if (this.#files.has(`${backend} ${direct}`)) ways.push({ backend, direct, lanes });
    return ways;
  }

  /** Sets the lanes and returns whom to ask for which file. */
  prepare(way: FlashWay): [Flash, number] {
    const flash = this.#flashes.get(way.backend)!;
    flash.setLanes(way.lanes);
    return [flash, this.#files.get(`${way.backend} ${way.direct}`)!];
  }

  close(): void {
    for (const flash of this.#flashes.values()) flash.close();
  }
}
