import { afterAll } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { fastDirectory } from '../model/scratch.js';
import { join } from 'node:path';
import { openSpool, type Spool, type SpoolOptions } from '../../device/spool/spool.js';
import type { SpoolRecord } from '../../device/spool/record.js';

/** A folder of its own for a test file, and spools in it that are closed at its end. */
export function spoolFolder() {
  const folder = mkdtempSync(join(fastDirectory(), 'pocketmoe-spool-'));
  const opened: Spool[] = [];
  afterAll(async () => {
    for (const spool of opened) await spool.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const path = (name: string) => join(folder, name, 'spool.sqlite');
  const open = async (name: string, options: Partial<SpoolOptions> = {}) => {
    const spool = await openSpool({ path: path(name), commitMilliseconds: 0, ...options });
    opened.push(spool);
    return spool;
  };
  return { folder, path, open };
}

/** Everything that a spool holds, by releasing it. */
export async function drain(spool: Spool): Promise<SpoolRecord[]> {
  const all: SpoolRecord[] = [];
  for (;;) {
    const page = await spool.read(1000);
    if (page.length === 0) return all;
    all.push(...page);
    void spool.release(page.at(-1)!);
  }
}

/** The equation that holds at every moment, checked by class. */
export function balance(spool: Spool): { missing: number; records: number } {
  const { producedByClass, releasedByClass, dropped, records, produced, released, droppedTotal } =
    spool.statistics();
  let kept = 0;
  for (const name of ['debug', 'sample', 'event', 'alarm', 'update'] as const)
    kept += producedByClass[name] - releasedByClass[name] - dropped[name];
  return { missing: produced - released - droppedTotal - kept, records: records - kept };
}

export const text = (record: SpoolRecord) => Buffer.from(record.payload).toString();
export const bytes = (content: string) => new TextEncoder().encode(content);
