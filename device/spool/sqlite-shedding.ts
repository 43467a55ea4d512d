import { noCounts, type ClassCounts } from './counts.js';
import { RECORD_CLASSES, type RecordClass } from './record.js';
import { chooseLevel, LAST_LEVEL, survives } from './shedding.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { merged, PAGE_BYTES } from './sqlite-schema.js';

/** Rows that one step takes at most: a bound of the work inside one transaction. */
const STEP_RECORDS = 512;
/** Steps of one transaction; what is still too much then goes with the next one. */
const STEPS = 64;

/** At most so many of the oldest records are handed out to a sender at a time. */
const HEAD_RECORDS = 1000;

/**
 * The id of the last record of the head: the oldest records, at most 1,000 with at most `bytes` of payload, at least
 * one. Only these are handed out, and these are never shed: a record that a receiver may already hold must not be
 * counted as dropped. It depends on what is stored and nothing else, so that it holds after a restart as well.
 */
export async function endOfHead(connection: SqliteConnection, bytes: number): Promise<number> {
  const { id } = await connection.one<{ id: number | null }>(
    `SELECT max(id) AS id FROM (
       SELECT id, row_number() OVER (ORDER BY id) AS place, sum(bytes) OVER (ORDER BY id) AS total
       FROM (${merged('id, coalesce(length(payload), 0) AS bytes')} LIMIT ${HEAD_RECORDS})
     ) WHERE total <= ? OR place = 1`,
    bytes,
  );
  return id ?? 0;
}

/** Bytes of the pages in use, as the running transaction sees them. */
export async function usedBytes(connection: SqliteConnection): Promise<number> {
  const { pages, free } = await connection.one<{ pages: number; free: number }>(
    'SELECT page_count AS pages, freelist_count AS free FROM pragma_page_count(), pragma_freelist_count()',
  );
  return (pages - free) * PAGE_BYTES;
}

/**
 * Drops records inside the running transaction until at most `limit` bytes are in use, in the declared order
 * (shedding.ts), sparing the head of `headBytes`, in steps of at most `stepBytes` of payload. Returns how many of each class were dropped.
 */
export async function shed(
  connection: SqliteConnection,
  limit: number,
  headBytes: number,
  stepBytes: number,
): Promise<ClassCounts> {
  const dropped = noCounts();
  if ((await usedBytes(connection)) <= limit) return dropped;
  // A little more than needed, so that not every write has to shed.
  const goal = limit - limit / 64;
  const head = await endOfHead(connection, headBytes);
  for (let step = 0; step < STEPS && (await usedBytes(connection)) > goal; step++)
    if (!(await takeStep(connection, head, stepBytes, dropped))) break;
  return dropped;
}

/** One step; false when nothing is left to drop. */
async function takeStep(
  connection: SqliteConnection,
  head: number,
  stepBytes: number,
  dropped: ClassCounts,
): Promise<boolean> {
  for (const name of RECORD_CLASSES) {
    if (name === 'sample' && (await thin(connection, head, stepBytes, dropped))) return true;
    if (name === 'sample') continue;
    const count = await dropOldest(connection, name, head, stepBytes);
    dropped[name] += count;
    if (count > 0) return true;
  }
  // Only when nothing else is left: the last few samples, oldest first.
  const count = await dropOldest(connection, 'sample', head, stepBytes);
  dropped.sample += count;
  return count > 0;
}

/** The newest id of the oldest rows of `name` that one step takes, from `first` and below `below`; null for none. */
async function endOfStep(
  connection: SqliteConnection,
  name: RecordClass,
  first: number,
  below: number,
  bytes: number,
): Promise<number | null> {
  const { id } = await connection.one<{ id: number | null }>(
    `SELECT max(id) AS id FROM (
       SELECT id, row_number() OVER (ORDER BY id) AS place, sum(bytes) OVER (ORDER BY id) AS total
       FROM (SELECT id, coalesce(length(payload), 0) AS bytes FROM "${name}" WHERE id >= ? AND id < ?
             ORDER BY id LIMIT ${STEP_RECORDS})
     ) WHERE total <= ? OR place = 1`,
    first,
    below,
    bytes,
  );
  return id;
}

async function dropOldest(
  connection: SqliteConnection,
  name: RecordClass,
  head: number,
  stepBytes: number,
): Promise<number> {
  const last = await endOfStep(connection, name, head + 1, Number.MAX_SAFE_INTEGER, stepBytes);
  if (last === null) return 0;
  return connection.run(`DELETE FROM "${name}" WHERE id > ? AND id <= ?`, head, last);
}

/** Thins the oldest stretch of the level whose turn it is; false when there are too few samples. */
async function thin(
  connection: SqliteConnection,
  head: number,
  stepBytes: number,
  dropped: ClassCounts,
): Promise<boolean> {
  const frontiers = await connection.all<{ below: number }>('SELECT below FROM thinning ORDER BY level');
  // bounds[k] is where level k ends, newest level first; level k begins at bounds[k + 1].
  const bounds = [
    Number.MAX_SAFE_INTEGER,
    ...frontiers.map(({ below }) => Math.max(below, head + 1)),
    head + 1,
  ];
  const ordinals = await Promise.all(bounds.map((bound) => ordinalFrom(connection, bound)));
  const rows = bounds
    .slice(1)
    .map((_, level) => Math.ceil((ordinals[level]! - ordinals[level + 1]!) / 2 ** level));
  const level = chooseLevel(rows);
  if (level === null) return false;
  const first = bounds[level + 1]!;
  const last = await endOfStep(connection, 'sample', first, bounds[level]!, stepBytes);
  if (last === null) return false;
  dropped.sample += await thinStretch(connection, first, last, level + 1);
  if (level + 1 < LAST_LEVEL)
    await connection.run(
      'INSERT INTO thinning (level, below) VALUES (?, ?) ON CONFLICT (level) DO UPDATE SET below = excluded.below',
      level + 1,
      last + 1,
    );
  return true;
}

/** The ordinal of the first sample from `id` on; one more than the newest sample's when there is none. */
async function ordinalFrom(connection: SqliteConnection, id: number): Promise<number> {
  const [row] = await connection.all<{ ordinal: number }>(
    'SELECT ordinal FROM sample WHERE id >= ? ORDER BY id LIMIT 1',
    id,
  );
  if (row) return row.ordinal;
  const [newest] = await connection.all<{ ordinal: number }>(
    'SELECT ordinal FROM sample ORDER BY id DESC LIMIT 1',
  );
  return (newest?.ordinal ?? 0) + 1;
}

/**
 * Keeps every 2^level-th sample of a stretch. What stays is written anew: deleted from half-full pages it would free
 * no page, since SQLite joins pages only when they are emptier than that.
 */
async function thinStretch(
  connection: SqliteConnection,
  first: number,
  last: number,
  level: number,
): Promise<number> {
  const rows = await connection.all<{ id: number; ordinal: number }>(
    'SELECT id, ordinal FROM sample WHERE id >= ? AND id <= ? ORDER BY id',
    first,
    last,
  );
  const stay = rows.filter(({ ordinal }) => survives(ordinal, level));
  if (stay.length === rows.length) return 0;
  const step = 2 ** level;
  await connection.execute('CREATE TEMP TABLE IF NOT EXISTS kept AS SELECT * FROM sample WHERE 0');
  if (stay.length > 0)
    await connection.run(
      'INSERT INTO temp.kept SELECT * FROM sample WHERE id >= ? AND id <= ? AND ordinal % ? = 0',
      first,
      last,
      step,
    );
  await connection.run('DELETE FROM sample WHERE id >= ? AND id <= ?', first, last);
  if (stay.length > 0) {
    await connection.run('INSERT INTO sample SELECT * FROM temp.kept ORDER BY id');
    await connection.run('DELETE FROM temp.kept');
  }
  return rows.length - stay.length;
}
