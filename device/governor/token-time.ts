import type { GovernorTarget } from './governor-target.js';

/** Milliseconds per generated token, from a target's counters. Never waits for a target that is busy with a prompt. */
export class TokenTime {
  #before: { tokens: number; ns: number } | null = null;
  #value: number | null = null;
  #asking: Promise<void> | null = null;

  constructor(private readonly target: GovernorTarget) {}

  /** What was learnt since the last call, or null; asks again for the next. */
  take(): number | null {
    const value = this.#value;
    this.#value = null;
    this.#asking ??= this.#ask().finally(() => (this.#asking = null));
    return value;
  }

  /** Settles when no question is open. */
  async idle(): Promise<void> {
    await this.#asking;
  }

  async #ask(): Promise<void> {
    try {
      const { decode } = await this.target.statistics();
      const tokens = decode.tokens - (this.#before?.tokens ?? decode.tokens);
      if (tokens > 0) this.#value = (decode.ns - this.#before!.ns) / tokens / 1e6;
      this.#before = { ...decode };
    } catch {
      this.#before = null; // a closed model says nothing
    }
  }
}
