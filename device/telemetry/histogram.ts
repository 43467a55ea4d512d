import type { HistogramValue } from '../../sdk/fleet/index.js';

/** Counts observations in buckets. Observing costs a search in a dozen bounds and allocates nothing. */
export class Histogram {
  readonly #bounds: Float64Array;
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param bounds upper bounds (inclusive) of all buckets but the last, ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds);
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** What is not a finite number is not observed: a sum must stay one. */
  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    let low = 0;
    let high = this.#bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= this.#bounds[middle]!) high = middle;
      else low = middle + 1;
    }
    this.#counts[low]! += 1;
    this.#sum += value;
  }

  get value(): HistogramValue {
    return { sum: this.#sum, counts: [...this.#counts] };
  }
}
