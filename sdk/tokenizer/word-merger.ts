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
  /** Candidates as rank × 2³² + position, smallest first. Both parts stay exact: ranks are below 2²¹. */
  private heap = new Float64Array(64);
  private heapSize = 0;

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
    const { ids, next, previous, merges } = this;
    for (let i = 0; i < count; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
    }
    this.heapSize = 0;
    for (let i = 0; i + 1 < count; i++) this.consider(i, i + 1);
    while (this.heapSize > 0) {
      const candidate = this.pop();
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
    if (rank >= 0) this.push(rank * 4294967296 + left);
  }

  private push(value: number): void {
    if (this.heapSize === this.heap.length) {
      const heap = new Float64Array(this.heap.length * 2);
      heap.set(this.heap);
      this.heap = heap;
    }
    const { heap } = this;
    let at = this.heapSize++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= value) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = value;
  }

  private pop(): number {
    const { heap } = this;
    const top = heap[0]!;
    const value = heap[--this.heapSize]!;
    const size = this.heapSize;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
    return top;
  }
}
