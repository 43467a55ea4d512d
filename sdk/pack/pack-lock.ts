import { readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PackError } from './pack-error.js';

export const LOCK_FILE = 'packing.lock';

/** Outputs that this process is packing to; the process id cannot tell those apart. */
const mine = new Set<string>();

/**
 * Makes sure that only one packer writes to `directory`. A lock whose process is gone (kill -9, power loss) is taken
 * over. Returns the function that unlocks. Throws PackError (pack/busy).
 */
export async function lock(directory: string): Promise<() => Promise<void>> {
  const path = join(directory, LOCK_FILE);
  for (;;) {
    if (mine.has(path)) throw busy(directory, path, process.pid);
    try {
      mine.add(path);
      await writeFile(path, String(process.pid), { flag: 'wx' });
      return async () => {
        mine.delete(path);
        await unlink(path);
      };
    } catch (error) {
      mine.delete(path);
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
    if (owner !== process.pid && isAlive(owner)) throw busy(directory, path, owner);
    await unlink(path).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function busy(directory: string, path: string, pid: number): PackError {
  return new PackError(
    'pack/busy',
    `process ${pid} is packing to ${directory}`,
    `Wait until it ends; if it is no packer, delete ${path}.`,
  );
}
