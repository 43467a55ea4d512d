import { randomUUID } from 'node:crypto';
import { addCounts, noCounts, totalOf, type ClassCounts } from './counts.js';
import { moveAside } from './quarantine.js';
import { MAXIMUM_PAYLOAD_BYTES, RECORD_CLASSES, type RecordClass, type SpoolRecord } from './record.js';
import type { Spool, SpoolOptions, SpoolStatistics } from './spool.js';
import { SpoolError } from './spool-error.js';
import type { Sqlite } from './sqlite-library.js';
import { isDamage, SqliteStore, UnreadableError, type Tally } from './sqlite-store.js';
import { WaitingRecords, type WaitingRecord } from './waiting-records.js';

/** One transaction takes at most so many records and bytes of payload: a bound on what a commit can cost. */
const BATCH_RECORDS = 256;
const BATCH_BYTES = 512 * 1024;

type Point = Pick<SpoolRecord, 'boot' | 'sequence'>;

/** What one transaction will do; repeated as it is until it succeeds. */
interface Batch {
  readonly records: readonly WaitingRecord[];
  readonly dropped: Readonly<ClassCounts>;
  readonly release: Point | null;
  readonly released: readonly (() => void)[];
}

/**
 * The spool over SQLite. One loop writes: everything that came up while a transaction ran goes into the next one. When
 * writing fails, records wait in memory within bounds and the loop tries again after a pause.
 */
export class DurableSpool implements Spool {
  readonly boot = randomUUID();
  readonly #waiting: WaitingRecords;
  #sequence = 0;
  #store: SqliteStore | null = null;
  /** Counters of the last database that could be read. */
  #tally: Tally | null = null;
  #batch: Batch | null = null;
  /** The number of a transaction whose outcome is not known: it failed and its connection was closed. */
  #uncertain: number | null = null;
  /** Dropped from memory, not counted in the database yet. */
  #dropped = noCounts();
  #release: Point | null = null;
  #released: (() => void)[] = [];
  #stored: ((open: boolean) => void)[] = [];
  #fault: string | null = null;
  #failures = 0;
  #timer: { due: number; handle: NodeJS.Timeout } | null = null;
  #writing: Promise<void> | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #closed: Promise<void> | null = null;

  private constructor(private readonly options: Required<SpoolOptions> & { readonly sqlite: Sqlite }) {
    this.#waiting = new WaitingRecords(options.memoryRecords, options.memoryBytes);
  }

  /** See openSpool. */
  static async open(options: Required<SpoolOptions> & { readonly sqlite: Sqlite }): Promise<DurableSpool> {
    const spool = new DurableSpool(options);
    try {
      await spool.openStore();
    } catch (error) {
      if ((error as { code?: unknown }).code === 'SQLITE_BUSY')
        throw new SpoolError(
          'spool/in-use',
          `${options.path} is open in another process`,
          'Stop the other agent, or give this one its own path.',
          { cause: error },
        );
      spool.fail(error);
    }
    return spool;
  }

  append(recordClass: RecordClass, payload: Uint8Array, time = this.options.now()): Promise<number> {
    const stored = this.enqueue(recordClass, payload, time);
    // Whoever does not wait for it loses nothing by its failing: it is counted.
    stored.catch(() => {});
    return stored;
  }

  private async enqueue(recordClass: RecordClass, payload: Uint8Array, time: number): Promise<number> {
    if (this.#closed) throw closedError();
    if (!RECORD_CLASSES.includes(recordClass))
      throw new SpoolError(
        'spool/option',
        `unknown class of record: ${String(recordClass)}`,
        `Use one of ${RECORD_CLASSES.join(', ')}.`,
      );
    if (!(payload instanceof Uint8Array))
      throw new SpoolError('spool/option', 'the payload is not bytes', 'Give a Uint8Array.');
    if (payload.length > MAXIMUM_PAYLOAD_BYTES)
      throw new SpoolError(
        'spool/payload-too-large',
        `a payload of ${payload.length} bytes is larger than ${MAXIMUM_PAYLOAD_BYTES}`,
        'Split the record, or leave something out.',
      );
    if (!Number.isSafeInteger(Math.round(time)))
      throw new SpoolError('spool/option', `the time is ${time}`, 'Give milliseconds since 1970.');
    const sequence = ++this.#sequence;
    const record = { sequence, time: Math.round(time), class: recordClass, payload: Buffer.from(payload) };
    return new Promise<number>((resolve, reject) => {
      const settle = (error?: Error) => (error ? reject(error) : resolve(sequence));
      for (const gone of this.#waiting.add({ record, settle })) {
        this.#dropped[gone.record.class]++;
        gone.settle(droppedError(this.#fault));
      }
      this.schedule(this.#waiting.size >= BATCH_RECORDS ? 0 : this.options.commitMilliseconds);
    });
  }

  async read(limit: number, after?: Point): Promise<SpoolRecord[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      throw new SpoolError('spool/option', `the limit is ${limit}`, 'Read 1 to 1000 records at a time.');
    const records = await this.readStored(limit, after);
    if (records.length > 0 || !this.#release || this.#fault) return records;
    // Nothing left of what may be handed out: room is made by writing down what was acknowledged.
    await this.flush();
    return this.readStored(limit, after);
  }

  private readStored(limit: number, after: Point | undefined): Promise<SpoolRecord[]> {
    return this.inTurn(async () => {
      if (!this.#store) return [];
      const released = later(this.#batch?.release ?? null, this.#release, this.boot);
      try {
        return await this.#store.read(limit, later(released, after ?? null, this.boot));
      } catch (error) {
        await this.recover(error);
        return [];
      }
    });
  }

  release(upTo: Point): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#release = later(this.#release, { boot: upTo.boot, sequence: upTo.sequence }, this.boot);
    return new Promise((resolve) => {
      this.#released.push(resolve);
      this.schedule(this.options.releaseMilliseconds);
    });
  }

  stored(): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => void this.#stored.push(resolve));
  }

  statistics(): SpoolStatistics {
    const produced = noCounts();
    const released = noCounts();
    const dropped = noCounts();
    if (this.#tally) {
      addCounts(produced, this.#tally.produced);
      addCounts(released, this.#tally.released);
      addCounts(dropped, this.#tally.dropped);
    }
    addCounts(produced, this.#waiting.counts);
    for (const { record } of this.#batch?.records ?? []) produced[record.class]++;
    for (const counts of [this.#dropped, this.#batch?.dropped ?? noCounts()]) {
      addCounts(produced, counts);
      addCounts(dropped, counts);
    }
    return {
      bytes: this.#store?.bytes ?? 0,
      records: totalOf(produced) - totalOf(released) - totalOf(dropped),
      waiting: this.#waiting.size + (this.#batch?.records.length ?? 0),
      produced: totalOf(produced),
      released: totalOf(released),
      droppedTotal: totalOf(dropped),
      dropped,
      producedByClass: produced,
      releasedByClass: released,
      corruptions: this.#store?.corruptions ?? 0,
      fault: this.#fault,
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.end();
    return this.#closed;
  }

  private async end(): Promise<void> {
    await this.flush();
    this.stopTimer();
    for (const { settle } of [...(this.#batch?.records ?? []), ...this.#waiting.take(Infinity, Infinity)])
      settle(closedError());
    for (const done of [...(this.#batch?.released ?? []), ...this.#released]) done();
    for (const tell of this.#stored.splice(0)) tell(false);
    await this.inTurn(async () => {
      await this.#store?.close();
      this.#store = null;
    });
  }

  /** Writes everything that waits, now; ends when it is written or writing failed. */
  private async flush(): Promise<void> {
    await this.#writing;
    this.stopTimer();
    await this.startWriting();
  }

  /** Has the loop run in at most `delay` ms. A pause after a failure is not cut short. */
  private schedule(delay: number): void {
    if (this.#writing || (this.#fault && this.#timer)) return;
    const due = performance.now() + delay;
    if (this.#timer && this.#timer.due <= due) return;
    this.stopTimer();
    const handle = setTimeout(() => {
      this.#timer = null;
      void this.startWriting();
    }, delay);
    if (this.#fault) handle.unref();
    this.#timer = { due, handle };
  }

  private stopTimer(): void {
    clearTimeout(this.#timer?.handle);
    this.#timer = null;
  }

  private startWriting(): Promise<void> {
    this.#writing ??= this.writeAll().finally(() => {
      this.#writing = null;
      // What came up after the loop looked for the last time.
      if (this.#waiting.size > 0 && !this.#closed) this.schedule(this.options.commitMilliseconds);
      else if (this.#release && !this.#closed) this.schedule(this.options.releaseMilliseconds);
    });
    return this.#writing;
  }

  private async writeAll(): Promise<void> {
    while ((this.#batch ??= this.nextBatch())) {
      const done = await this.inTurn(() => this.writeBatch());
      if (!done) return;
    }
  }

  private nextBatch(): Batch | null {
    if (this.#waiting.size === 0 && !this.#release && totalOf(this.#dropped) === 0 && !this.#fault)
      return null;
    // Small databases take small transactions, which the log has to hold.
    const bytes = Math.min(BATCH_BYTES, this.options.capBytes / 64);
    const batch = {
      records: this.#waiting.take(BATCH_RECORDS, bytes),
      dropped: this.#dropped,
      release: this.#release,
      released: this.#released,
    };
    this.#dropped = noCounts();
    this.#release = null;
    this.#released = [];
    return batch;
  }

  /** Writes the batch; false when that has to wait. */
  private async writeBatch(): Promise<boolean> {
    const batch = this.#batch!;
    try {
      const store = await this.openStore();
      if (this.#uncertain !== store.writes)
        await store.write({
          records: batch.records.map(({ record }) => record),
          dropped: batch.dropped,
          release: batch.release,
        });
      this.#tally = store.tally;
    } catch (error) {
      return this.recover(error);
    }
    this.#uncertain = null;
    this.#batch = null;
    this.#fault = null;
    this.#failures = 0;
    for (const { settle } of batch.records) settle();
    for (const done of batch.released) done();
    if (batch.records.length > 0) for (const tell of this.#stored.splice(0)) tell(true);
    return true;
  }

  /** Opens the database if it is not open; moves a damaged one aside, once. */
  private async openStore(): Promise<SqliteStore> {
    if (this.#store) return this.#store;
    const { sqlite, path, capBytes } = this.options;
    const open = (before: Tally | null) =>
      SqliteStore.open({ sqlite, path, capBytes, boot: this.boot, verify: true, before });
    try {
      this.#store = await open(this.#tally);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      await moveAside(path);
      this.#uncertain = null;
      this.#store = await open(this.#tally ?? error.tally);
    }
    this.#tally = this.#store.tally;
    return this.#store;
  }

  /** After an error of the database: true when it can go on at once. Called in turn. */
  private async recover(error: unknown): Promise<boolean> {
    const store = this.#store;
    // A full disk leaves the connection as it was; after anything else it begins anew.
    if (store && (error as { code?: unknown }).code !== 'SQLITE_FULL') {
      this.#uncertain = this.#batch ? store.writes + 1 : null;
      this.#store = null;
      await store.close();
      if (isDamage(error)) {
        const moved = await moveAside(this.options.path).then(
          () => true,
          () => false,
        );
        this.#uncertain = null;
        if (moved && this.#failures === 0) {
          this.#failures++;
          return true;
        }
      }
    }
    this.fail(error);
    return false;
  }

  private fail(error: unknown): void {
    this.#fault = error instanceof Error ? error.message : String(error);
    this.stopTimer();
    const delay = this.options.retryMilliseconds * 2 ** Math.min(this.#failures++, 6);
    if (this.#closed) return;
    const handle = setTimeout(() => {
      this.#timer = null;
      void this.startWriting();
    }, delay);
    handle.unref();
    this.#timer = { due: performance.now() + delay, handle };
  }

  /** Runs `work` after everything else that uses the database. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** The later of two points. Only the current boot's place among boots is known: last; else the second one counts. */
function later(a: Point | null, b: Point | null, boot: string): Point | null {
  if (!a || !b) return a ?? b;
  if (a.boot === b.boot) return a.sequence > b.sequence ? a : b;
  return a.boot === boot ? a : b;
}

function closedError(): SpoolError {
  return new SpoolError('spool/closed', 'the spool is closed', 'Append before close().');
}

function droppedError(fault: string | null): SpoolError {
  return new SpoolError(
    'spool/dropped',
    `memory for unwritten records was full${fault ? ` while the disk took nothing (${fault})` : ''}`,
    'Free space on the disk, or append more slowly: wait for each append.',
  );
}
