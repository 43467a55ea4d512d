import { SpoolError } from './spool-error.js';

/** The time that pacing goes by; tests give one that jumps. */
export interface Clock {
  /** Milliseconds from any start; never goes back. */
  now(): number;
  /** Resolves after `milliseconds`, or at once when `signal` is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const MONOTONIC_CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      signal?.addEventListener('abort', end);
    }),
};

/**
 * Allows a steady rate of something (records, bytes) with bursts of up to `burst`: a bucket that fills at `perSecond`
 * and may be overdrawn by one large item, which then holds up the next ones.
 */
export class Pace {
  #level: number;
  #at: number;

  /** Throws SpoolError spool/option for a rate or burst that is not positive. */
  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
    private readonly clock: Pick<Clock, 'now'>,
  ) {
    if (!(perSecond > 0) || !(burst > 0))
      throw new SpoolError(
        'spool/option',
        `a rate of ${perSecond} per second with bursts of ${burst} lets nothing through`,
        'Give positive numbers.',
      );
    this.#level = burst;
    this.#at = clock.now();
  }

  /** Whole milliseconds to wait before the next item; 0 when it may go now. */
  delay(): number {
    this.fill();
    return this.#level >= 0 ? 0 : Math.ceil((-this.#level / this.perSecond) * 1000);
  }

  /** Takes `amount` out of the bucket. */
  take(amount: number): void {
    this.fill();
    this.#level -= amount;
  }

  private fill(): void {
    const now = this.clock.now();
    // A clock that goes back all the same must not fill or drain anything.
    const passed = Math.max(0, now - this.#at);
    this.#at = now;
    this.#level = Math.min(this.burst, this.#level + (passed / 1000) * this.perSecond);
  }
}
