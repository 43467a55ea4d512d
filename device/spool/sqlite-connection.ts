import type { Database, RunResult, Statement } from 'sqlite3';
import type { Sqlite } from './sqlite-library.js';

/** What a statement may carry and a row may hold. */
export type SqliteValue = number | string | Uint8Array | null;

/** One open database file; every statement runs off the main thread, in the order in which it was asked for. */
export class SqliteConnection {
  readonly #statements = new Map<string, Statement>();

  private constructor(private readonly database: Database) {}

  /** Opens `path`, creating the file. Rejects with SQLite's error (code SQLITE_*). */
  static open(sqlite: Sqlite, path: string): Promise<SqliteConnection> {
    return new Promise((resolve, reject) => {
      const database = new sqlite.Database(path, sqlite.OPEN_READWRITE | sqlite.OPEN_CREATE, (error) => {
        if (error) return reject(error);
        // Without it, errors of statements that nobody waits for would end the process.
        database.on('error', () => {});
        database.serialize();
        resolve(new SqliteConnection(database));
      });
    });
  }

  /** Runs statements without parameters, separated by semicolons. */
  execute(sql: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.database.exec(sql, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Runs one statement; resolves with the number of rows it changed. */
  async run(sql: string, ...values: SqliteValue[]): Promise<number> {
    const statement = await this.prepare(sql);
    return new Promise((resolve, reject) => {
      statement.run(values.map(asBuffer), function (this: RunResult, error: Error | null) {
        if (error) reject(error);
        else resolve(this.changes);
      });
    });
  }

  /** All rows of a query. Bound it in SQL: rows come into memory at once. */
  async all<Row>(sql: string, ...values: SqliteValue[]): Promise<Row[]> {
    const statement = await this.prepare(sql);
    return new Promise((resolve, reject) => {
      statement.all<Row>(values.map(asBuffer), (error, rows) => (error ? reject(error) : resolve(rows)));
    });
  }

  /** The only row of a query that always has one. */
  async one<Row>(sql: string, ...values: SqliteValue[]): Promise<Row> {
    const [row] = await this.all<Row>(sql, ...values);
    if (row === undefined) throw new Error(`no row from: ${sql}`);
    return row;
  }

  /** Closes the file; its write-ahead log is copied into it. Never rejects. */
  async close(): Promise<void> {
    for (const statement of this.#statements.values())
      await new Promise<void>((resolve) => statement.finalize(() => resolve()));
    this.#statements.clear();
    await new Promise<void>((resolve) => this.database.close(() => resolve()));
  }

  /** Statements are compiled once. One that does not compile would never call back: its error is told here. */
  private prepare(sql: string): Promise<Statement> {
    const known = this.#statements.get(sql);
    if (known) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      const statement = this.database.prepare(sql, (error: Error | null) => {
        if (error) return reject(error);
        // Two callers may compile the same statement at once; the first one is kept.
        const first = this.#statements.get(sql) ?? statement;
        this.#statements.set(sql, first);
        if (first !== statement) statement.finalize();
        resolve(first);
      });
    });
  }
}

/** The addon tells a blob by its being a Buffer. */
function asBuffer(value: SqliteValue): SqliteValue {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value;
}
