import { readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
    if (mine.has(path)) throw busy(directory, path, String(process.pid));
    mine.add(path);
    try {
      await writeFile(path, (await lockText(process.pid)) ?? '', { flag: 'wx' });
      return async () => {
        mine.delete(path);
        await unlink(path);
      };
    } catch (error) {
      mine.delete(path);
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    let text = await readFile(path, 'utf8').catch(() => '');
    if (!text.endsWith('\n')) {
      // Its owner is writing it this moment, or died while doing so.
      await sleep(50);
      text = await readFile(path, 'utf8').catch(() => '');
    }
    const owner = text.split(' ')[0]!;
    const isMine = owner === String(process.pid);
    if (!isMine && text.endsWith('\n') && text === (await lockText(Number(owner))))
      throw busy(directory, path, owner);
    await unlink(path).catch(() => undefined);
  }
}

/**
 * What a process writes into its lock: its id and the time it was started, because ids come again. Null when there is no
 * such process. Source: field 22 of /proc/PID/stat, proc(5).
 */
export async function lockText(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  // The second field, a name in parentheses, may hold anything.
  const started = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return started === undefined ? null : `${pid} ${started}\n`;
}

function busy(directory: string, path: string, pid: string): PackError {
  return new PackError(
    'pack/busy',
    `process ${pid} is packing to ${directory}`,
    `Wait until it ends; if it is no packer, delete ${path}.`,
  );
}
