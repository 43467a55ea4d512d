const { imul } = Math;

/** Which two neighbours become one token, and in what order of preference. */
export class Merges {
  private readonly left: Int32Array;
  private readonly right: Int32Array;
  private readonly merged: Int32Array;
  /** Rank + 1 by hash of the pair, open addressing, at most half full; 0 is empty. */
  private readonly table: Int32Array;
  private count = 0;

  /** `capacity`: how many merges will be added, at most. */
  constructor(capacity: number) {
    this.left = new Int32Array(capacity);
    this.right = new Int32Array(capacity);
    this.merged = new Int32Array(capacity);
    this.table = new Int32Array(2 ** Math.max(4, Math.ceil(Math.log2(Math.max(capacity, 1) * 2))));
  }

  /** Adds the next merge; earlier ones are preferred. A pair that was added before keeps its place. */
  add(left: number, right: number, merged: number): void {
    const slot = this.slot(left, right);
    if (this.table[slot] !== 0) return;
    this.left[this.count] = left;
    this.right[this.count] = right;
    this.merged[this.count] = merged;
    this.table[slot] = ++this.count;
  }

  /** Rank of a pair (lower is earlier), or -1. */
  rank(left: number, right: number): number {
    return this.table[this.slot(left, right)]! - 1;
  }

  /** What the pair of this rank becomes. */
  result(rank: number): number {
    return this.merged[rank]!;
  }

  private slot(left: number, right: number): number {
    const { table } = this;
    const mask = table.length - 1;
    let hash = imul(left, 0x9e3779b1) ^ imul(right + 0x7f4a7c15, 0x85ebca6b);
    hash = imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash ^= hash >>> 13;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const rank = table[slot]! - 1;
      if (rank < 0 || (this.left[rank] === left && this.right[rank] === right)) return slot;
    }
  }
}
