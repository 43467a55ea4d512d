import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** So many unreadable databases are kept for whoever wants to know what happened. */
const KEPT = 2;

/**
 * Moves an unreadable database and its write-ahead log aside, to `PATH.corrupt-N`, and removes all but the newest two.
 * N counts up, so that the count survives: it is returned. Rejects when the file cannot be renamed.
 */
export async function moveAside(path: string): Promise<number> {
  const present = await movedAside(path);
  const count = (present.at(-1) ?? 0) + 1;
  const name = (n: number) => `${path}.corrupt-${n}`;
  await rm(`${path}-shm`, { force: true });
  // The log goes first: a log left alone is taken for the log of the next database.
  await rename(`${path}-wal`, `${name(count)}-wal`).catch(ignoreMissing);
  await rename(path, name(count)).catch(ignoreMissing);
  for (const n of present.filter((n) => n <= count - KEPT)) {
    await rm(name(n), { force: true });
    await rm(`${name(n)}-wal`, { force: true });
  }
  return count;
}

/** How many databases were ever moved aside from `path`. */
export async function countMovedAside(path: string): Promise<number> {
  return (await movedAside(path)).at(-1) ?? 0;
}

/** Numbers of the files present, rising. */
async function movedAside(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.corrupt-`;
  const names = await readdir(dirname(path)).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => /^(\d{1,9})(?:-wal)?$/.exec(name.slice(prefix.length))?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
