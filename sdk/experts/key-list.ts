/** A doubly linked list of expert keys, newest first, with every operation O(1); a key is in it at most once. */
export class KeyList {
  /** Neighbours of each key; index keyCount is the ring's anchor, −1 marks a key outside. */
  readonly #newer: Int32Array;
  readonly #older: Int32Array;
  readonly #anchor: number;
  #size = 0;

  /** @param keyCount keys are 0 … keyCount − 1. */
  constructor(keyCount: number) {
    this.#anchor = keyCount;
    this.#newer = new Int32Array(keyCount + 1).fill(-1);
    this.#older = new Int32Array(keyCount + 1).fill(-1);
    this.#newer[keyCount] = keyCount;
    this.#older[keyCount] = keyCount;
  }

  get size(): number {
    return this.#size;
  }

  has(key: number): boolean {
    return (this.#newer[key] ?? -1) >= 0;
  }

  /** Makes a key the newest, adding it when it is not in the list. */
  push(key: number): void {
    this.delete(key);
    const anchor = this.#anchor;
    const second = this.#older[anchor] as number;
    this.#older[anchor] = key;
    this.#newer[key] = anchor;
    this.#older[key] = second;
    this.#newer[second] = key;
    this.#size++;
  }

  /** Takes a key out; a key that is not in the list is ignored. */
  delete(key: number): void {
    if (!this.has(key)) return;
    const newer = this.#newer[key] as number;
    const older = this.#older[key] as number;
    this.#older[newer] = older;
    this.#newer[older] = newer;
    this.#newer[key] = -1;
    this.#older[key] = -1;
    this.#size--;
  }

  /** The oldest key that `skip` does not name, or −1. */
  oldest(skip?: (key: number) => boolean): number {
    const anchor = this.#anchor;
    for (let key = this.#newer[anchor] as number; key !== anchor; key = this.#newer[key] as number) {
      if (skip === undefined || !skip(key)) return key;
    }
    return -1;
  }
}
