export interface BackoffOptions {
  /** Longest wait after the first failure, in ms. Default 1,000. */
  firstMs?: number;
  /** Longest wait of all, in ms. Default 60,000. */
  mostMs?: number;
  /** 0 ≤ x < 1. */
  random?: () => number;
}

/**
 * Waits between attempts: twice as long each time, and anywhere in the upper half of that, so that a fleet whose broker
 * comes back does not come back at once.
 */
export class Backoff {
  #failures = 0;
  readonly #options: Required<BackoffOptions>;

  constructor({ firstMs = 1000, mostMs = 60_000, random = Math.random }: BackoffOptions = {}) {
    this.#options = { firstMs, mostMs, random };
  }

  /** How long to wait now, in ms. */
  next(): number {
    const { firstMs, mostMs, random } = this.#options;
    const longest = Math.min(mostMs, firstMs * 2 ** Math.min(this.#failures++, 30));
    return longest * (0.5 + random() / 2);
  }

  /** Something worked: begin again with short waits. */
  reset(): void {
    this.#failures = 0;
  }
}
