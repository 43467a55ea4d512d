/**
 * A binary heap of expert keys, lowest rank first, in which any key can be moved or removed in O(log n). Equal ranks
 * come out by key, so the order never depends on history.
 */
export class KeyHeap {
  readonly #keys: Int32Array;
  /** Place of each key in #keys; −1 outside the heap. */
  readonly #places: Int32Array;
  readonly #ranks: Float64Array;
  #size = 0;
  /** Comparisons made so far; tests bound the cost by it. */
  comparisons = 0;

  /** @param keyCount keys are 0 … keyCount − 1. */
  constructor(keyCount: number) {
    this.#keys = new Int32Array(keyCount);
    this.#places = new Int32Array(keyCount).fill(-1);
    this.#ranks = new Float64Array(keyCount);
  }

  get size(): number {
    return this.#size;
  }

  has(key: number): boolean {
    return (this.#places[key] ?? -1) >= 0;
  }

  /** Adds a key or moves it to a new rank. */
  set(key: number, rank: number): void {
    let place = this.#places[key] as number;
    if (place < 0) {
      place = this.#size++;
      this.#keys[place] = key;
      this.#places[key] = place;
    }
    this.#ranks[key] = rank;
    this.#down(this.#up(place));
  }

  /** Takes a key out; a key that is not in the heap is ignored. */
  delete(key: number): void {
    const place = this.#places[key] ?? -1;
    if (place < 0) return;
    this.#places[key] = -1;
    const last = this.#keys[--this.#size] as number;
    if (last === key) return;
    this.#keys[place] = last;
    this.#places[last] = place;
    this.#down(this.#up(place));
  }

  /** Rank last given to a key. */
  rank(key: number): number {
    return this.#ranks[key] as number;
  }

  /** Multiplies every rank by `factor` ≥ 0. O(keys). */
  scale(factor: number): void {
    for (let key = 0; key < this.#ranks.length; key++)
      this.#ranks[key] = (this.#ranks[key] as number) * factor;
    // Ranks that underflowed to equal ones are now ordered by key.
    for (let place = (this.#size >> 1) - 1; place >= 0; place--) this.#down(place);
  }

  /** The lowest key that `skip` does not name, or −1. O((s + 1) log n) for s skipped keys. */
  lowest(skip: (key: number) => boolean): number {
    const aside: number[] = [];
    let found = -1;
    while (this.#size > 0) {
      const key = this.#keys[0] as number;
      if (!skip(key)) {
        found = key;
        break;
      }
      aside.push(key);
      this.delete(key);
    }
    for (const key of aside) this.set(key, this.#ranks[key] as number);
    return found;
  }

  #before(a: number, b: number): boolean {
    this.comparisons++;
    const rankA = this.#ranks[a] as number;
    const rankB = this.#ranks[b] as number;
    return rankA < rankB || (rankA === rankB && a < b);
  }

  #up(from: number): number {
    let place = from;
    const key = this.#keys[place] as number;
    while (place > 0) {
      const parentPlace = (place - 1) >> 1;
      const parent = this.#keys[parentPlace] as number;
      if (!this.#before(key, parent)) break;
      this.#put(parent, place);
      place = parentPlace;
    }
    this.#put(key, place);
    return place;
  }

  #down(from: number): void {
    let place = from;
    const key = this.#keys[place] as number;
    for (;;) {
      let childPlace = 2 * place + 1;
      if (childPlace >= this.#size) break;
      if (
        childPlace + 1 < this.#size &&
        this.#before(this.#keys[childPlace + 1] as number, this.#keys[childPlace] as number)
      ) {
        childPlace++;
      }
      const child = this.#keys[childPlace] as number;
      if (!this.#before(child, key)) break;
      this.#put(child, place);
      place = childPlace;
    }
    this.#put(key, place);
  }

  #put(key: number, place: number): void {
    this.#keys[place] = key;
    this.#places[key] = place;
  }
}
