import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { addCounts, noCounts, totalOf, type ClassCounts } from './counts.js';
import { countMovedAside } from './quarantine.js';
import { RECORD_CLASSES, type RecordClass, type SpoolRecord } from './record.js';
import { SqliteConnection } from './sqlite-connection.js';
import type { Sqlite } from './sqlite-library.js';
import { merged, PAGE_BYTES, SCHEMA_VERSION, TABLES } from './sqlite-schema.js';
import { endOfHead, shed, usedBytes } from './sqlite-shedding.js';

/** A page of records for a sender ends at so many bytes of payload. */
const READ_BYTES = 256 * 1024;

/** A record on its way into the database. */
export type NewRecord = Omit<SpoolRecord, 'boot'>;

/** What one transaction does. */
export interface Write {
  readonly records: readonly NewRecord[];
  /** Records that were dropped before they could be stored. */
  readonly dropped: Readonly<ClassCounts>;
  /** Everything up to here was acknowledged. */
  readonly release: Pick<SpoolRecord, 'boot' | 'sequence'> | null;
}

/** What ever happened to the records of each class. */
export interface Tally {
  readonly produced: ClassCounts;
  readonly released: ClassCounts;
  readonly dropped: ClassCounts;
}

export interface StoreOptions {
  readonly sqlite: Sqlite;
  readonly path: string;
  /** Limit of database and write-ahead log together, in bytes. */
  readonly capBytes: number;
  /** Id of this run of the agent. */
  readonly boot: string;
  /** Read the whole file for damage before using it. */
  readonly verify: boolean;
  /** What is known of a database that was just moved aside: its records count as dropped in the new one. */
  readonly before: Tally | null;
}

/** The file is damaged, or not a spool of this version. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError';
  constructor(
    message: string,
    /** Its counters, where they could still be read. */
    readonly tally: Tally | null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The records in their database. One call at a time: a read must not see an unfinished write. */
export class SqliteStore {
  #tally: Tally = { produced: noCounts(), released: noCounts(), dropped: noCounts() };
  #usedBytes = 0;
  #writes = 0;
  #nextId = 1;
  #corruptions = 0;
  #bootNumber = 0;
  readonly #reserveBytes: number;
  readonly #headBytes: number;

  private constructor(
    private readonly connection: SqliteConnection,
    private readonly options: StoreOptions,
  ) {
    // The log may grow by a checkpoint's distance and one transaction.
    this.#reserveBytes = Math.floor(options.capBytes / 6);
    this.#headBytes = Math.floor(options.capBytes / 8);
  }

  /**
   * Opens or creates the database. Rejects with UnreadableError when it is damaged, otherwise with SQLite's or the
   * system's error.
   */
  static async open(options: StoreOptions): Promise<SqliteStore> {
    await mkdir(dirname(options.path), { recursive: true });
    const connection = await SqliteConnection.open(options.sqlite, options.path);
    const store = new SqliteStore(connection, options);
    try {
      await store.begin();
      return store;
    } catch (error) {
      const damaged = isDamage(error);
      const tally = damaged ? await readTally(connection).catch(() => null) : null;
      await connection.close();
      throw damaged ? new UnreadableError((error as Error).message, tally, { cause: error }) : error;
    }
  }

  /** Counters as of the last write. */
  get tally(): Tally {
    return this.#tally;
  }

  /** Bytes of pages in use, without the log. */
  get bytes(): number {
    return this.#usedBytes;
  }

  /** Calls of write() ever committed in this file. */
  get writes(): number {
    return this.#writes;
  }

  /** Databases that were found damaged before this one. */
  get corruptions(): number {
    return this.#corruptions;
  }

  /** Stores, releases, counts and sheds in one transaction: all of it or nothing. Rejects with SQLite's error. */
  async write(write: Write): Promise<void> {
    const { connection } = this;
    await this.transaction(async () => {
      await this.insert(write.records);
      const released = write.release ? await this.releaseUpTo(write.release) : noCounts();
      const produced = noCounts();
      addCounts(produced, write.dropped);
      for (const record of write.records) produced[record.class]++;
      const limit = this.options.capBytes - this.#reserveBytes;
      const dropped = await shed(connection, limit, this.#headBytes, Math.floor(this.options.capBytes / 64));
      addCounts(dropped, write.dropped);
      await this.count({ produced, released, dropped });
      const last = write.records.at(-1)?.sequence;
      if (last !== undefined)
        await connection.run('UPDATE boot SET last = ? WHERE number = ?', last, this.#bootNumber);
      await connection.run(
        'UPDATE spool SET writes = ?, next_id = ?',
        this.#writes + 1,
        this.#nextId + write.records.length,
      );
    });
    this.#writes++;
    this.#nextId += write.records.length;
  }

  /**
   * The oldest records after `after`, in order, at most `limit` of them and 256 KiB of payload, at least one if there
   * is one. Only among the oldest thousand (endOfHead): whoever wants more releases first.
   */
  async read(limit: number, after: Write['release']): Promise<SpoolRecord[]> {
    const head = await endOfHead(this.connection, this.#headBytes);
    const first = after ? await this.firstAfter(after) : 1;
    if (head === 0 || first === null) return [];
    const rows = await this.connection.all<{
      boot: string;
      sequence: number;
      time: number;
      class: number;
      payload: Uint8Array | null;
    }>(
      `SELECT boot.id AS boot, sequence, time, class, payload FROM (
         SELECT *, row_number() OVER (ORDER BY id) AS place, sum(coalesce(length(payload), 0)) OVER (ORDER BY id) AS total
         FROM (${merged('id, boot AS number, sequence, time, payload', 'WHERE id >= ?1 AND id <= ?2')} LIMIT ?3)
       ) JOIN boot USING (number) WHERE total <= ${READ_BYTES} OR place = 1 ORDER BY place`,
      first,
      head,
      limit,
    );
    return rows.map((row) => ({
      ...row,
      class: RECORD_CLASSES[row.class]!,
      payload: row.payload ?? new Uint8Array(0),
    }));
  }

  /** Closes the file. Never rejects. */
  close(): Promise<void> {
    return this.connection.close();
  }

  private async begin(): Promise<void> {
    const { connection, options } = this;
    const checkpointPages = Math.max(16, Math.min(1000, Math.floor(this.#reserveBytes / 4 / PAGE_BYTES)));
    // Exclusive: a second agent is refused, and no shared memory file is needed beside the log.
    await connection.execute(
      `PRAGMA busy_timeout = 500; PRAGMA page_size = ${PAGE_BYTES}; PRAGMA locking_mode = EXCLUSIVE;
       PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = ${checkpointPages};
       PRAGMA journal_size_limit = ${checkpointPages * PAGE_BYTES}; PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY`,
    );
    const { version } = await connection.one<{ version: number }>(
      'SELECT user_version AS version FROM pragma_user_version()',
    );
    const present = await connection.all<{ sql: string }>(
      'SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL',
    );
    const tables = present.map(({ sql }) => sql);
    const isOurs = tables.length === TABLES.length && TABLES.every((table) => tables.includes(table));
    if (tables.length > 0 && (version !== SCHEMA_VERSION || !isOurs))
      throw new UnreadableError(`not a spool of schema version ${SCHEMA_VERSION}`, null);
    if (tables.length > 0 && options.verify) {
      const { result } = await connection.one<{ result: string }>(
        'SELECT quick_check AS result FROM pragma_quick_check LIMIT 1',
      );
      if (result !== 'ok') throw new UnreadableError(result, null);
    }
    await this.transaction(async () => {
      if (tables.length === 0) await this.create();
      const state = await connection.one<{ writes: number; nextId: number; corruptions: number }>(
        'SELECT writes, next_id AS nextId, corruptions FROM spool',
      );
      this.#writes = state.writes;
      this.#nextId = state.nextId;
      this.#corruptions = state.corruptions;
      this.#tally = await readTally(connection);
      if (options.verify) await this.countMissing();
      await this.beginBoot();
    });
  }

  private async create(): Promise<void> {
    const { connection, options } = this;
    for (const statement of TABLES) await connection.execute(statement);
    await connection.execute(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    const corruptions = await countMovedAside(options.path);
    await connection.run('INSERT INTO spool (writes, next_id, corruptions) VALUES (0, 1, ?)', corruptions);
    for (const name of RECORD_CLASSES) {
      const produced = options.before?.produced[name] ?? 0;
      const released = options.before?.released[name] ?? 0;
      await connection.run(
        'INSERT INTO counter VALUES (?, ?, ?, ?)',
        name,
        produced,
        released,
        produced - released,
      );
    }
  }

  /** After damage that SQLite does not see, rows may be missing: they count as dropped. */
  private async countMissing(): Promise<void> {
    const difference: Tally = { produced: noCounts(), released: noCounts(), dropped: noCounts() };
    for (const name of RECORD_CLASSES) {
      const { rows } = await this.connection.one<{ rows: number }>(`SELECT count(*) AS rows FROM "${name}"`);
      const { produced, released, dropped } = this.#tally;
      const missing = produced[name] - released[name] - dropped[name] - rows;
      if (missing > 0) difference.dropped[name] = missing;
      if (missing < 0) difference.produced[name] = -missing;
    }
    await this.count(difference);
  }

  /** Enters this run, unless it was entered before, and forgets earlier ones that have no records left. */
  private async beginBoot(): Promise<void> {
    const { connection, options } = this;
    const present = `SELECT boot FROM (${merged('boot, id')})`;
    await connection.run(`DELETE FROM boot WHERE id <> ? AND number NOT IN (${present})`, options.boot);
    await connection.run('INSERT OR IGNORE INTO boot (id, last) VALUES (?, 0)', options.boot);
    const { number } = await connection.one<{ number: number }>(
      'SELECT number FROM boot WHERE id = ?',
      options.boot,
    );
    this.#bootNumber = number;
  }

  /** Runs `work` between BEGIN and COMMIT and takes over the counters it leaves. */
  private async transaction(work: () => Promise<void>): Promise<void> {
    const { connection } = this;
    await connection.execute('BEGIN IMMEDIATE');
    try {
      await work();
      const tally = await readTally(connection);
      const used = await usedBytes(connection);
      await connection.execute('COMMIT');
      this.#tally = tally;
      this.#usedBytes = used;
    } catch (error) {
      // SQLite has rolled back by itself after some errors; then this one fails, which is as well.
      await connection.execute('ROLLBACK').catch(() => {});
      throw error;
    }
  }

  private async insert(records: readonly NewRecord[]): Promise<void> {
    let ordinal = this.#tally.produced.sample;
    const inserted = records.map((record, index) =>
      this.connection.run(
        `INSERT INTO "${record.class}" (id, boot, sequence, time, ordinal, payload) VALUES (?, ?, ?, ?, ?, ?)`,
        this.#nextId + index,
        this.#bootNumber,
        record.sequence,
        record.time,
        record.class === 'sample' ? ++ordinal : null,
        record.payload,
      ),
    );
    // All have to have ended before anything else is done, a rollback above all.
    const failed = (await Promise.allSettled(inserted)).find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  private async releaseUpTo(point: NonNullable<Write['release']>): Promise<ClassCounts> {
    const released = noCounts();
    const first = (await this.firstAfter(point)) ?? Number.MAX_SAFE_INTEGER;
    for (const name of RECORD_CLASSES)
      released[name] = await this.connection.run(`DELETE FROM "${name}" WHERE id < ?`, first);
    return released;
  }

  /** Id of the oldest record after a point; null when there is none, 1 when the boot is not known (any more). */
  private async firstAfter(point: NonNullable<Write['release']>): Promise<number | null> {
    const [boot] = await this.connection.all<{ number: number }>(
      'SELECT number FROM boot WHERE id = ?',
      point.boot,
    );
    if (!boot) return 1;
    const [row] = await this.connection.all<{ id: number }>(
      `${merged('id', 'WHERE boot > ?1 OR (boot = ?1 AND sequence > ?2)')} LIMIT 1`,
      boot.number,
      point.sequence,
    );
    return row?.id ?? null;
  }

  private async count(change: Tally): Promise<void> {
    for (const name of RECORD_CLASSES) {
      const { produced, released, dropped } = change;
      if (produced[name] || released[name] || dropped[name])
        await this.connection.run(
          'UPDATE counter SET produced = produced + ?, released = released + ?, dropped = dropped + ? WHERE class = ?',
          produced[name],
          released[name],
          dropped[name],
          name,
        );
    }
  }
}

/** Records that a tally leaves in the database. */
export function pendingOf({ produced, released, dropped }: Tally): number {
  return totalOf(produced) - totalOf(released) - totalOf(dropped);
}

async function readTally(connection: SqliteConnection): Promise<Tally> {
  const rows = await connection.all<{
    class: RecordClass;
    produced: number;
    released: number;
    dropped: number;
  }>('SELECT class, produced, released, dropped FROM counter');
  const tally: Tally = { produced: noCounts(), released: noCounts(), dropped: noCounts() };
  for (const name of RECORD_CLASSES) {
    const row = rows.find((row) => row.class === name);
    const sound = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
    if (!row || ![row.produced, row.released, row.dropped].every(sound))
      throw new UnreadableError(`no sound counters for class ${name}`, null);
    tally.produced[name] = row.produced;
    tally.released[name] = row.released;
    tally.dropped[name] = row.dropped;
  }
  return tally;
}

/** Whether an error of an open database means that the file will never be sound again. */
export function isDamage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof UnreadableError || DAMAGE.includes(String(code));
}

/** The disk, memory and other processes have errors of their own; these are about what the file says. */
const DAMAGE = ['CORRUPT', 'NOTADB', 'CONSTRAINT', 'TOOBIG', 'MISMATCH', 'FORMAT'].map(
  (name) => `SQLITE_${name}`,
);
