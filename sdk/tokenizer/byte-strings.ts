const { imul } = Math;

/**
 * Byte strings with numbers 0, 1, 2 …, found by content. One buffer and one hash table of integers: 150,000 tokens
 * take 4 MB, where JavaScript strings in a Map take 20 MB and weigh on the garbage collector.
 */
export class ByteStrings {
  count = 0;
  private bytes: Uint8Array;
  /** Where each string begins; starts[count] is where the next one will. */
  private starts: Uint32Array;
  /** Number + 1 by hash, open addressing, a power of two in size and at most half full; 0 is empty. */
  private table: Int32Array;

  constructor(expectedCount: number, expectedBytes: number) {
    this.bytes = new Uint8Array(Math.max(expectedBytes, 64));
    this.starts = new Uint32Array(Math.max(expectedCount, 16) + 1);
    this.table = new Int32Array(tableSize(expectedCount));
  }

  /** Adds a string; it is not found by content unless {@link index} is called too. Returns its number. */
  add(source: Uint8Array, from: number, length: number): number {
    const start = this.starts[this.count]!;
    if (start + length > this.bytes.length) this.bytes = grown(this.bytes, start + length);
    if (this.count + 2 > this.starts.length) {
      const starts = new Uint32Array(this.starts.length * 2);
      starts.set(this.starts);
      this.starts = starts;
    }
    // Most strings are too short for a view and a copy to be worth it.
    for (let i = 0; i < length; i++) this.bytes[start + i] = source[from + i]!;
    this.starts[++this.count] = start + length;
    return this.count - 1;
  }

  /** Makes an added string the one that {@link find} gives for its content, in place of an earlier equal one. */
  index(id: number): void {
    if (this.count * 2 > this.table.length) this.rebuild();
    const start = this.starts[id]!;
    const slot = this.slot(this.bytes, start, this.starts[id + 1]! - start);
    this.table[slot] = id + 1;
  }

  /** The number of a string with these bytes, or -1. */
  find(source: Uint8Array, from: number, length: number): number {
    return this.table[this.slot(source, from, length)]! - 1;
  }

  /** A view of a string's bytes, good until the next add. */
  get(id: number): Uint8Array {
    return this.bytes.subarray(this.starts[id]!, this.starts[id + 1]!);
  }

  /** Where a string is, or the empty slot where it would be. */
  private slot(source: Uint8Array, from: number, length: number): number {
    const { bytes, starts, table } = this;
    const mask = table.length - 1;
    let hash = 0x811c9dc5 ^ length;
    for (let i = 0; i < length; i++) hash = imul(hash ^ source[from + i]!, 0x01000193);
    hash = imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash ^= hash >>> 13;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = table[slot]! - 1;
      if (id < 0) return slot;
      const start = starts[id]!;
      if (starts[id + 1]! - start !== length) continue;
      let i = 0;
      while (i < length && bytes[start + i] === source[from + i]) i++;
      if (i === length) return slot;
    }
  }

  private rebuild(): void {
    const old = this.table;
    this.table = new Int32Array(old.length * 2);
    for (const entry of old) {
      if (entry === 0) continue;
      const start = this.starts[entry - 1]!;
      this.table[this.slot(this.bytes, start, this.starts[entry]! - start)] = entry;
    }
  }
}

function tableSize(count: number): number {
  return 2 ** Math.max(4, Math.ceil(Math.log2(Math.max(count, 1) * 2)));
}

function grown(bytes: Uint8Array, needed: number): Uint8Array {
  const larger = new Uint8Array(Math.max(needed, bytes.length * 2));
  larger.set(bytes);
  return larger;
}
