import type { CachePolicy, CacheShape } from './cache-policy.js';
import { KeyHeap } from './key-heap.js';

/** Tokens after which a use counts half. */
const HALF_LIFE_TOKENS = 64;
/** Weights are scaled back before they leave the range in which sums stay exact enough. */
const LARGEST_WEIGHT = 1e100;

/**
 * Least frequently used, with ageing: a use counts half after {@link HALF_LIFE_TOKENS} tokens. Counts are kept for
 * experts that are not resident too, so one that returns keeps its rank.
 */
export class LfuPolicy implements CachePolicy {
  readonly name = 'lfu';
  /** Decayed use counts, in units that grow with time: a use now adds #weight, so old counts shrink beside it. */
  readonly #counts: Float64Array;
  readonly #residents: KeyHeap;
  readonly #growth: number;
  #weight = 1;
  #step = 0;

  constructor(shape: CacheShape) {
    const keyCount = shape.layers * shape.expertsPerLayer;
    this.#counts = new Float64Array(keyCount);
    this.#residents = new KeyHeap(keyCount);
    this.#growth = Math.LN2 / (HALF_LIFE_TOKENS * shape.layers);
  }

  touch(key: number, step: number): void {
    this.#advance(step);
    const count = (this.#counts[key] as number) + this.#weight;
    this.#counts[key] = count;
    if (this.#residents.has(key)) this.#residents.set(key, count);
  }

  insert(key: number, step: number): void {
    this.#advance(step);
    this.#residents.set(key, this.#counts[key] as number);
  }

  remove(key: number): void {
    this.#residents.delete(key);
  }

  victim(_step: number, pinned: (key: number) => boolean): number {
    return this.#residents.lowest(pinned);
  }

  /** Comparisons made so far, the cost of every choice. */
  get comparisons(): number {
    return this.#residents.comparisons;
  }

  #advance(step: number): void {
    if (step <= this.#step) return;
    this.#weight *= Math.exp(this.#growth * (step - this.#step));
    this.#step = step;
    if (this.#weight < LARGEST_WEIGHT) return;
    const factor = 1 / this.#weight;
    for (let key = 0; key < this.#counts.length; key++)
      this.#counts[key] = (this.#counts[key] as number) * factor;
    this.#residents.scale(factor);
    this.#weight = 1;
  }
}
