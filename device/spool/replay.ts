import { MONOTONIC_CLOCK, Pace, type Clock } from './pacing.js';
import type { SpoolRecord } from './record.js';
import type { Spool } from './spool.js';
import { SpoolError } from './spool-error.js';

/** Brokers cut clients with more unacknowledged records than this; mosquitto's default. */
export const MAXIMUM_WINDOW = 20;

export interface ReplayOptions {
  /** Default 50. */
  readonly recordsPerSecond?: number;
  /** Payload bytes. Default 128 KiB. */
  readonly bytesPerSecond?: number;
  /** Records sent and not acknowledged at any time, 1 to 20. Default 20. */
  readonly window?: number;
  /** Ends the replay; records not acknowledged stay in the spool. */
  readonly signal?: AbortSignal;
  /** Whether to end when the spool is empty instead of waiting for more. Default false. */
  readonly untilEmpty?: boolean;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/**
 * Sends the spool's records in order, at a bounded rate, and releases what was acknowledged. `send` starts sending a
 * record and resolves when the receiver has acknowledged it; acknowledgements may come in any order. Resolves with the
 * number of acknowledged records when ended. When a send rejects, nothing more is sent, and the replay rejects with
 * that error after the others have ended: begin again when there is a connection, with the oldest unacknowledged record.
 */
export async function replay(
  spool: Pick<Spool, 'read' | 'release' | 'stored'>,
  send: (record: SpoolRecord) => Promise<void>,
  options: ReplayOptions = {},
): Promise<number> {
  const { recordsPerSecond = 50, bytesPerSecond = 128 * 1024, window = MAXIMUM_WINDOW } = options;
  const { signal, untilEmpty = false, clock = MONOTONIC_CLOCK } = options;
  if (!Number.isInteger(window) || window < 1 || window > MAXIMUM_WINDOW)
    throw new SpoolError('spool/option', `the window is ${window}`, `Give 1 to ${MAXIMUM_WINDOW}.`);
  const records = new Pace(recordsPerSecond, 1, clock);
  const bytes = new Pace(bytesPerSecond, Math.min(bytesPerSecond, 16 * 1024), clock);

  const flight = new Flight(spool);
  let page: SpoolRecord[] = [];
  let last: SpoolRecord | undefined;
  const ended = new Promise<void>((resolve) => {
    if (signal?.aborted) resolve();
    signal?.addEventListener('abort', () => resolve(), { once: true });
  });

  while (!signal?.aborted && !flight.failed) {
    if (page.length === 0) {
      // Asked before reading: a record that is stored between the two is not slept over.
      const more = spool.stored();
      page = await spool.read(5 * window, last);
      if (page.length === 0) {
        if (flight.size > 0) await Promise.race([flight.settled(), more, ended]);
        else if (untilEmpty) break;
        else if ((await Promise.race([more, ended])) === false) break;
      }
      continue;
    }
    if (flight.size >= window) {
      await Promise.race([flight.settled(), ended]);
      continue;
    }
    const delay = Math.max(records.delay(), bytes.delay());
    if (delay > 0) {
      await clock.sleep(delay, signal);
      continue;
    }
    const record = page.shift()!;
    last = record;
    records.take(1);
    bytes.take(record.payload.length);
    flight.add(record, send);
  }
  if (!signal?.aborted) while (flight.size > 0) await Promise.race([flight.settled(), ended]);
  if (flight.failed) throw flight.failed.error;
  return flight.acknowledged;
}

/** Records that were sent; releases those that were acknowledged together with all before them. */
class Flight {
  readonly #records: { readonly record: SpoolRecord; done: boolean }[] = [];
  #unsettled = 0;
  #wake: (() => void)[] = [];
  acknowledged = 0;
  failed: { readonly error: unknown } | null = null;

  constructor(private readonly spool: Pick<Spool, 'release'>) {}

  /** Records neither acknowledged nor failed. */
  get size(): number {
    return this.#unsettled;
  }

  /** Resolves when one more record was acknowledged or failed. */
  settled(): Promise<void> {
    return new Promise((resolve) => void this.#wake.push(resolve));
  }

  add(record: SpoolRecord, send: (record: SpoolRecord) => Promise<void>): void {
    const entry = { record, done: false };
    this.#records.push(entry);
    this.#unsettled++;
    // Within a promise: a `send` that throws is one that rejects.
    void Promise.resolve()
      .then(() => send(record))
      .then(
        () => {
          entry.done = true;
          this.acknowledged++;
        },
        (error: unknown) => {
          this.failed ??= { error };
        },
      )
      .finally(() => {
        this.#unsettled--;
        this.releaseDone();
        for (const wake of this.#wake.splice(0)) wake();
      });
  }

  private releaseDone(): void {
    let released: SpoolRecord | null = null;
    while (this.#records[0]?.done) released = this.#records.shift()!.record;
    // Need not be on disk before more is sent: what is sent again, the receiver knows by its sequence.
    if (released) void this.spool.release(released);
  }
}
