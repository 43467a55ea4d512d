import { RECORD_CLASSES, type RecordClass } from './record.js';

/** Stored in the file (user_version); a file with another one is not understood and moved aside. */
export const SCHEMA_VERSION = 1;

/** Bytes of a page; the size of most flash file systems' blocks. */
export const PAGE_BYTES = 4096;

/**
 * A table for each class, so that dropping the oldest records of one class frees whole pages. `id` is the order over
 * all classes and boots. `ordinal` counts the samples of this file, from 1, for thinning.
 */
const RECORD_COLUMNS =
  'id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, time INTEGER NOT NULL, ordinal INTEGER, payload BLOB';

/** What a spool consists of, as SQLite keeps it: a file whose schema differs in a letter is not one. */
export const TABLES: readonly string[] = [
  ...RECORD_CLASSES.map((name) => `CREATE TABLE "${name}" (${RECORD_COLUMNS})`),
  // What ever happened to the records of a class: produced = released + dropped + rows of its table.
  'CREATE TABLE counter (class TEXT PRIMARY KEY, produced INTEGER NOT NULL, released INTEGER NOT NULL, dropped INTEGER NOT NULL)',
  'CREATE TABLE boot (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, last INTEGER NOT NULL)',
  // Samples with ids below `below` were thinned to at least `level`.
  'CREATE TABLE thinning (level INTEGER PRIMARY KEY, below INTEGER NOT NULL)',
  // One row. `writes` tells after a failed commit whether it took place.
  'CREATE TABLE spool (writes INTEGER NOT NULL, next_id INTEGER NOT NULL, corruptions INTEGER NOT NULL)',
];

/** All classes as one table, in order of id; SQLite merges the tables without sorting. */
export function merged(columns: string, where = ''): string {
  const select = (name: RecordClass, index: number) =>
    `SELECT ${columns}, ${index} AS class FROM "${name}" ${where}`;
  return `${RECORD_CLASSES.map(select).join(' UNION ALL ')} ORDER BY id`;
}
