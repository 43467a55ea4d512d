import { type ErrorReport, reportError } from '../../sdk/index.js';
import type { GovernorTarget } from './governor-target.js';
import type { Lever, LeverRanges, LeverValues } from './lever.js';

/** Added to the smallest budget that a model named: its process may have grown since. */
const MEMORY_MARGIN = 2 ** 20;
/** A lever that failed is tried again after this, in silence. */
const RETRY_MS = 30_000;

/** A lever that could not be put where it was decided. */
export interface LeverFailure {
  readonly lever: Lever;
  readonly wanted: number;
  /** What was set instead; null: it stayed as it was. */
  readonly got: number | null;
  readonly error: ErrorReport;
}

/**
 * Puts levers where they were decided, one call at a time. A target may be busy for long; of several values for one
 * lever that came meanwhile, only the last is set.
 */
export class LeverSetter {
  readonly #waiting = new Map<Lever, number>();
  readonly #failed = new Map<Lever, { value: number; at: number }>();
  #working: Promise<void> | null = null;

  constructor(
    private readonly target: GovernorTarget,
    private readonly ranges: LeverRanges,
    private readonly onFailure: (failure: LeverFailure) => void,
    private readonly now: () => number,
  ) {}

  set(values: LeverValues): void {
    for (const [lever, value] of Object.entries(values) as [Lever, number][]) {
      this.#failed.delete(lever);
      this.#waiting.set(lever, value);
    }
    this.#work();
  }

  /** Tries again what failed some time ago. */
  retry(): void {
    for (const [lever, { value, at }] of this.#failed) {
      if (this.now() - at < RETRY_MS || this.#waiting.has(lever)) continue;
      this.#waiting.set(lever, value);
    }
    this.#work();
  }

  /** Settles when nothing waits to be set. */
  async idle(): Promise<void> {
    while (this.#working) await this.#working;
  }

  #work(): void {
    if (this.#waiting.size > 0) this.#working ??= this.#drain().finally(() => (this.#working = null));
  }

  async #drain(): Promise<void> {
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) return;
      const [lever, value] = next.value;
      this.#waiting.delete(lever);
      const again = this.#failed.has(lever);
      try {
        const got = await this.#put(lever, value);
        this.#failed.delete(lever);
        if (got) this.onFailure({ lever, wanted: value, ...got });
      } catch (error) {
        this.#failed.set(lever, { value, at: this.now() });
        if (!again) this.onFailure({ lever, wanted: value, got: null, error: reportError(error) });
      }
    }
  }

  /** Null when the value was set as it is. */
  async #put(lever: Lever, value: number): Promise<{ got: number; error: ErrorReport } | null> {
    if (lever === 'threads' || lever === 'lanes') await this.target.setLimits({ [lever]: value });
    else if (lever === 'memory')
      try {
        const { chosen, normal } = this.ranges.memory ?? {};
        await this.target.setMemory(chosen && value === normal ? null : value);
      } catch (error) {
        const smallest = (error as { smallestBytes?: unknown }).smallestBytes;
        if (typeof smallest !== 'number') throw error;
        const got = smallest + MEMORY_MARGIN;
        await this.target.setMemory(got);
        return { got, error: reportError(error) };
      }
    return null;
  }
}
