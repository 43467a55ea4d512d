/** The spool: store and forward. Records are on disk before anything is promised, and leave it when acknowledged. */
import { DurableSpool } from './durable-spool.js';
import type { ClassCounts } from './counts.js';
import type { RecordClass, SpoolRecord } from './record.js';
import { SpoolError } from './spool-error.js';
import { loadSqlite } from './sqlite-library.js';

export interface SpoolOptions {
  /** The database file; its folder is made. On a local file system. */
  readonly path: string;
  /** Limit on disk, in bytes, database and log together. Default 64 MiB, at least 1 MiB. */
  readonly capBytes?: number;
  /** A record waits so long for company before it is written, in ms. Default 20. */
  readonly commitMilliseconds?: number;
  /** An acknowledgement waits so long for a record to be written with, in ms. Default 1000. */
  readonly releaseMilliseconds?: number;
  /** First pause after a failed write, in ms; doubles up to 64 times that. Default 1000. */
  readonly retryMilliseconds?: number;
  /** Records kept in memory while the disk takes none. Default 4096. */
  readonly memoryRecords?: number;
  /** Bytes kept in memory while the disk takes none. Default 4 MiB. */
  readonly memoryBytes?: number;
  /** The device's clock, in ms since 1970. Default Date.now. */
  readonly now?: () => number;
}

/** At every moment produced = released + records + droppedTotal, in each class as well, also across restarts. */
export interface SpoolStatistics {
  /** Bytes in use on disk. */
  readonly bytes: number;
  /** Records that are kept, on disk and in memory. */
  readonly records: number;
  /** Those of them that are in memory only. */
  readonly waiting: number;
  /** Records ever appended, released after acknowledgement, given up. */
  readonly produced: number;
  readonly released: number;
  readonly droppedTotal: number;
  /** Records given up, by class. */
  readonly dropped: Readonly<ClassCounts>;
  readonly producedByClass: Readonly<ClassCounts>;
  readonly releasedByClass: Readonly<ClassCounts>;
  /** Databases that were found damaged and moved aside. */
  readonly corruptions: number;
  /** Why nothing can be written at the moment, e.g. "SQLITE_FULL: database or disk is full"; null when all is well. */
  readonly fault: string | null;
}

export interface Spool {
  /** Id of this run: a UUID, new with every open. */
  readonly boot: string;
  /**
   * Takes a record; resolves with its sequence (from 1 in each boot) when it is on disk, and survives kill and power
   * cut from then on. `time` is in ms since 1970, default now; the payload is copied. While the disk takes nothing the
   * promise waits. Rejects with SpoolError: spool/payload-too-large, spool/option, spool/closed, spool/dropped (memory
   * was full; counted). A rejection that nobody handles is not an error of the process.
   */
  append(recordClass: RecordClass, payload: Uint8Array, time?: number): Promise<number>;
  /**
   * The oldest unreleased records, in order, after `after` where given: at most `limit` (1 to 1000), at most 256 KiB of
   * payload, at least one if there is one. Hands out only among the oldest thousand and the oldest eighth of the cap;
   * for more, release first. Empty while the database cannot be read.
   */
  read(limit: number, after?: Pick<SpoolRecord, 'boot' | 'sequence'>): Promise<SpoolRecord[]>;
  /**
   * Forgets everything up to and including a record that read() gave; call it when all of that was acknowledged.
   * Resolves when that is on disk, which need not be waited for: until then a restart may send records again.
   */
  release(upTo: Pick<SpoolRecord, 'boot' | 'sequence'>): Promise<void>;
  /** Resolves with true when a record was stored after this call, with false when the spool is closed. */
  stored(): Promise<boolean>;
  statistics(): SpoolStatistics;
  /** Writes what is waiting, once, and closes the file. Records that could not be written reject with spool/closed. */
  close(): Promise<void>;
}

/**
 * Opens the spool at `path`, beginning a new boot. A damaged database is moved aside and a new one begun; on a disk that
 * takes nothing the spool works from memory until it does. Rejects only with SpoolError: spool/no-sqlite, spool/in-use,
 * spool/option.
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { capBytes = 64 << 20, memoryRecords = 4096, memoryBytes = 4 << 20 } = options;
  const {
    commitMilliseconds = 20,
    releaseMilliseconds = 1000,
    retryMilliseconds = 1000,
    now = Date.now,
  } = options;
  if (options.path === '') throw new SpoolError('spool/option', 'path is empty', 'Give a file name.');
  check('capBytes', capBytes, 1 << 20, 2 ** 46);
  check('memoryRecords', memoryRecords, 1, 1_000_000);
  check('memoryBytes', memoryBytes, 1 << 16, 2 ** 32);
  check('commitMilliseconds', commitMilliseconds, 0, 60_000);
  check('releaseMilliseconds', releaseMilliseconds, 0, 3_600_000);
  check('retryMilliseconds', retryMilliseconds, 1, 3_600_000);
  const sqlite = await loadSqlite();
  return DurableSpool.open({
    sqlite,
    path: options.path,
    capBytes,
    commitMilliseconds,
    releaseMilliseconds,
    retryMilliseconds,
    memoryRecords,
    memoryBytes,
    now,
  });
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new SpoolError(
      'spool/option',
      `${name} is ${value}`,
      `Give a whole number from ${least} to ${most}.`,
    );
}
