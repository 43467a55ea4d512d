import { afterAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSpool, type Spool } from '../../device/spool/spool.js';
import { drain } from './folder.js';

const disk = mkdtempSync(join(tmpdir(), 'pocketmoe-full-'));
/** Needs the right to mount; where there is none, the other tests of this file remain. */
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'none', disk]).status === 0;
const spools: Spool[] = [];
afterAll(async () => {
  for (const spool of spools) await spool.close();
  if (mounted) spawnSync('umount', [disk]);
  rmSync(disk, { recursive: true, force: true });
});

const payload = new Uint8Array(900).fill(1);
const options = { commitMilliseconds: 0, retryMilliseconds: 2, memoryRecords: 200, capBytes: 4 << 20 };

function fill(): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, 'filler'), new Uint8Array(bavail * bsize));
}

async function addsUp(spool: Spool): Promise<void> {
  const { produced, released, records, droppedTotal } = spool.statistics();
  expect(produced).toBe(released + records + droppedTotal);
  const kept = await drain(spool);
  expect(kept.length + droppedTotal + released).toBe(produced);
  const sequences = kept.map(({ sequence }) => sequence);
  expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
}

describe('a disk that takes nothing', () => {
  if (mounted)
    test('costs only counted records of the least worth, and nothing once it has room', async () => {
      const spool = await openSpool({ path: join(disk, 'spool.sqlite'), ...options });
      spools.push(spool);
      for (let i = 0; i < 50; i++) await spool.append('sample', payload);
      fill();
      const outcomes: Promise<string>[] = [];
      // What the log has room for is still written.
      for (let i = 0; i < 20_000 && (i < 1500 || spool.statistics().fault === null); i++) {
        const appended = spool.append(i % 100 === 0 ? 'alarm' : i % 3 === 0 ? 'debug' : 'sample', payload);
        const outcome = appended.then(
          () => 'stored',
          (error: { code: string }) => error.code,
        );
        outcomes.push(outcome);
        if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
      expect(spool.statistics().fault).toMatch(/SQLITE_(FULL|IOERR)/);
      expect(spool.statistics().waiting).toBeLessThanOrEqual(200 + 256);
      rmSync(join(disk, 'filler'));
      const settled = await Promise.all(outcomes);
      expect(new Set(settled)).toEqual(new Set(['stored', 'spool/dropped']));
      const { dropped, fault } = spool.statistics();
      expect(fault).toBeNull();
      expect(dropped).toMatchObject({ alarm: 0, event: 0, update: 0 });
      expect(settled.filter((outcome) => outcome !== 'stored')).toHaveLength(dropped.debug + dropped.sample);
      await addsUp(spool);
    });

  test('from the beginning leaves a spool in memory, which goes to disk when there is one', async () => {
    // A file stands where the folder should be.
    const obstacle = join(disk, 'obstacle');
    writeFileSync(obstacle, '');
    const spool = await openSpool({ path: join(obstacle, 'spool.sqlite'), ...options });
    spools.push(spool);
    expect(spool.statistics().fault).toMatch(/ENOTDIR|EEXIST/);
    const appended = [1, 2, 3].map(() => spool.append('alarm', payload));
    expect(await spool.read(10)).toEqual([]);
    expect(spool.statistics()).toMatchObject({ produced: 3, records: 3, waiting: 3 });
    rmSync(obstacle);
    expect(await Promise.all(appended)).toEqual([1, 2, 3]);
    await addsUp(spool);
  });

  test('at the end rejects what waits, and does not hang', async () => {
    const obstacle = join(disk, 'obstacle2');
    writeFileSync(obstacle, '');
    const spool = await openSpool({ path: join(obstacle, 'spool.sqlite'), ...options });
    const appended = spool.append('alarm', payload);
    await spool.close();
    await expect(appended).rejects.toMatchObject({ code: 'spool/closed' });
  });
});
