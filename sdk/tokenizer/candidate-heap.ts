/** Candidates for merging: a rank and a position, the lowest rank first, the leftmost among equals. */
export class CandidateHeap {
  /** rank × 2³² + position: one number orders both. Exact for ranks below 2²¹. */
  private heap = new Float64Array(64);
  private size = 0;

  get empty(): boolean {
    return this.size === 0;
  }

  clear(): void {
    this.size = 0;
  }

  push(rank: number, position: number): void {
    if (this.size === this.heap.length) {
      const heap = new Float64Array(this.heap.length * 2);
      heap.set(this.heap);
      this.heap = heap;
    }
    const { heap } = this;
    const value = rank * 4294967296 + position;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= value) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = value;
  }

  /** The first candidate as rank × 2³² + position. */
  pop(): number {
    const { heap } = this;
    const top = heap[0]!;
    const value = heap[--this.size]!;
    const size = this.size;
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
