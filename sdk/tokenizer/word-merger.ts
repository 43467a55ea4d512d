import { CandidateHeap } from './candidate-heap.js';
import type { Merges } from './merges.js';

const { floor } = Math;

/**
 * Merges the symbols of one word: the pair with the lowest rank first, the leftmost among equals, until no pair is
 * left. A heap of candidates keeps a word of n bytes at n log n steps: a page without spaces is one word.
 */
export class WordMerger {
  private ids = new Int32Array(64);
  private next = new Int32Array(64);
  private previous = new Int32Array(64);
  private readonly candidates = new CandidateHeap();

  constructor(private readonly merges: Merges) {}

  /** Room for a word of this many symbols; put them into the array that is returned, then call merge. */
  symbols(count: number): Int32Array {
    if (count > this.ids.length) {
      const size = Math.max(count, this.ids.length * 2);
      this.ids = new Int32Array(size);
      this.next = new Int32Array(size);
      this.previous = new Int32Array(size);
    }
    return this.ids;
  }

  /** Merges the first `count` symbols and hands the remaining ones to `emit` in order. */
  merge(count: number, emit: (id: number) => void): void {
    const { ids, next, previous, merges, candidates } = this;
    for (let i = 0; i < count; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    candidates.clear();
    for (let i = 0; i + 1 < count; i++) this.consider(i, i + 1);
    while (!candidates.empty) {
      const candidate = candidates.pop();
      const rank = floor(candidate / 4294967296);
      const at = candidate - rank * 4294967296;
      const after = next[at]!;
      // One of the two was merged with another neighbour meanwhile; -1 marks symbols that are gone.
      if (ids[at] === -1 || after >= count || merges.rank(ids[at]!, ids[after]!) !== rank) continue;
      ids[at] = merges.result(rank);
      ids[after] = -1;
      const then = next[after]!;
      next[at] = then;
      if (then < count) {
        previous[then] = at;
        this.consider(at, then);
      }
      if (previous[at]! >= 0) this.consider(previous[at]!, at);
    }
    for (let i = 0; i < count; i = next[i]!) emit(ids[i]!);
  }

  private consider(left: number, right: number): void {
    const rank = this.merges.rank(this.ids[left]!, this.ids[right]!);
    if (rank >= 0) this.candidates.push(rank, left);
  }
}
