import { noCounts, type ClassCounts } from './counts.js';
import { RECORD_CLASSES } from './record.js';
import type { NewRecord } from './sqlite-store.js';

/** A record that is not stored yet, and whoever waits for it. */
export interface WaitingRecord {
  readonly record: NewRecord;
  /** Called once: without an error when the record is stored, with one when it was given up. */
  readonly settle: (error?: Error) => void;
}

/** Bytes that a record takes in memory besides its payload, roughly. */
const OVERHEAD_BYTES = 300;

/** Records on their way to the disk, in order. While the disk takes none, it keeps to its bounds by dropping. */
export class WaitingRecords {
  #records: WaitingRecord[] = [];
  #bytes = 0;
  readonly #counts = noCounts();

  constructor(
    private readonly maximumRecords: number,
    private readonly maximumBytes: number,
  ) {}

  get size(): number {
    return this.#records.length;
  }

  /** How many of each class wait. */
  get counts(): Readonly<ClassCounts> {
    return this.#counts;
  }

  /** Adds a record; returns the ones that have to go for it, in the declared order of shedding. */
  add(record: WaitingRecord): WaitingRecord[] {
    this.#records.push(record);
    this.enter(record, 1);
    if (!this.exceeds(1)) return [];
    const dropped: WaitingRecord[] = [];
    for (const name of RECORD_CLASSES) {
      // Every other sample, oldest first, again and again; of other classes the oldest.
      if (name === 'sample') while (this.#counts.sample > 16 && this.drop('sample', 2, dropped));
      else this.drop(name, 1, dropped);
    }
    this.drop('sample', 1, dropped);
    return dropped;
  }

  /** Removes the oldest records: at most `records`, at most `bytes` of payload, at least one if there is one. */
  take(records: number, bytes: number): WaitingRecord[] {
    let count = 0;
    for (let total = 0; count < Math.min(records, this.#records.length); count++) {
      total += this.#records[count]!.record.payload.length;
      if (count > 0 && total > bytes) break;
    }
    const taken = this.#records.splice(0, count);
    for (const record of taken) this.enter(record, -1);
    return taken;
  }

  /** Drops each `every`-th record of a class, oldest first, until there is room. False when nothing went or had to. */
  private drop(name: NewRecord['class'], every: number, dropped: WaitingRecord[]): boolean {
    const before = dropped.length;
    let seen = 0;
    if (!this.exceeds(7 / 8)) return false;
    this.#records = this.#records.filter((waiting) => {
      if (waiting.record.class !== name || !this.exceeds(7 / 8) || ++seen % every !== 0) return true;
      this.enter(waiting, -1);
      dropped.push(waiting);
      return false;
    });
    return dropped.length > before;
  }

  private exceeds(share: number): boolean {
    const count = RECORD_CLASSES.reduce((sum, name) => sum + this.#counts[name], 0);
    return count > this.maximumRecords * share || this.#bytes > this.maximumBytes * share;
  }

  private enter({ record }: WaitingRecord, sign: 1 | -1): void {
    this.#counts[record.class] += sign;
    this.#bytes += sign * (record.payload.length + OVERHEAD_BYTES);
  }
}
