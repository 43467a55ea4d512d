import { describe, expect, test } from '@jest/globals';
import { statSync } from 'node:fs';
import { RECORD_CLASSES, type RecordClass } from '../../device/spool/record.js';
import { chooseLevel, LAST_LEVEL, SAMPLES_KEPT, survives } from '../../device/spool/shedding.js';
import { drain, spoolFolder } from './folder.js';
import { random } from './random.js';

const { open, path } = spoolFolder();
const MIB = 1 << 20;
const payload = new Uint8Array(800).fill(1);

describe('thinning', () => {
  test('keeps every 2^k-th sample, and none at the last level', () => {
    const kept = (level: number) => [1, 2, 3, 4, 5, 6, 7, 8].filter((ordinal) => survives(ordinal, level));
    expect([0, 1, 2, 3].map(kept)).toEqual([[1, 2, 3, 4, 5, 6, 7, 8], [2, 4, 6, 8], [4, 8], [8]]);
    expect(survives(2 ** LAST_LEVEL, LAST_LEVEL)).toBe(false);
  });

  test('begins with the newest level that outweighs all coarser ones', () => {
    expect(chooseLevel([1000, 0, 0])).toBe(0);
    expect(chooseLevel([400, 300, 200])).toBe(1);
    expect(chooseLevel([0, 0, 900])).toBe(2);
    expect(chooseLevel([SAMPLES_KEPT])).toBeNull();
    expect(chooseLevel([])).toBeNull();
  });

  test('always finds a level while there are samples to spare', () => {
    const next = random(3);
    for (let i = 0; i < 500; i++) {
      const rows = Array.from({ length: 1 + Math.floor(next() * 20) }, () => Math.floor(next() ** 3 * 1000));
      const level = chooseLevel(rows);
      if (rows.reduce((a, b) => a + b) <= SAMPLES_KEPT) expect(level).toBeNull();
      else expect(rows[level!]).toBeGreaterThan(0);
    }
  });
});

describe('a spool at its cap', () => {
  const appendMany = (spool: Awaited<ReturnType<typeof open>>, name: RecordClass, count: number) =>
    Promise.all(Array.from({ length: count }, () => spool.append(name, payload)));

  test('gives up debug records, then thins samples, then events, alarms, updates: in this order', async () => {
    const spool = await open('declared', { capBytes: MIB });
    const order: RecordClass[] = [];
    // The oldest eighth is spared, whatever it is; so it is made of updates, which go last anyway.
    await appendMany(spool, 'update', 180);
    for (const name of RECORD_CLASSES) await appendMany(spool, name, name === 'sample' ? 200 : 100);
    expect(spool.statistics().droppedTotal).toBe(0);
    for (let round = 0; round < 60; round++) {
      const before = spool.statistics().dropped;
      await appendMany(spool, 'update', 40);
      const after = spool.statistics().dropped;
      for (const name of RECORD_CLASSES) if (after[name] > before[name]) order.push(name);
    }
    const firstSeen = [...new Set(order)];
    expect(firstSeen).toEqual(RECORD_CLASSES);
    const { dropped, producedByClass } = spool.statistics();
    expect(dropped).toMatchObject({ debug: 100, event: 100, alarm: 100 });
    const kept = await drain(spool);
    for (const name of RECORD_CLASSES)
      expect(kept.filter((record) => record.class === name)).toHaveLength(
        producedByClass[name] - dropped[name],
      );
  });

  test('keeps to it on disk, and counts every record that went', async () => {
    const spool = await open('cap', { capBytes: 2 * MIB });
    const next = random(7);
    let largest = 0;
    const classes: RecordClass[] = ['debug', 'sample', 'sample', 'sample', 'sample', 'event'];
    for (let round = 0; round < 40; round++) {
      await Promise.all(
        Array.from({ length: 200 }, () =>
          spool.append(
            classes[Math.floor(next() * classes.length)]!,
            new Uint8Array(next() < 0.02 ? next() * 20_000 : next() * 900),
          ),
        ),
      );
      const file = path('cap');
      largest = Math.max(largest, statSync(file).size + statSync(`${file}-wal`).size);
    }
    expect(largest).toBeLessThanOrEqual(2 * MIB);
    expect(spool.statistics().droppedTotal).toBeGreaterThan(1000);
    await spool.close();
    const again = await open('cap', { capBytes: 2 * MIB });
    const { produced, droppedTotal, records } = again.statistics();
    expect(produced).toBe(40 * 200);
    const kept = await drain(again);
    expect(kept).toHaveLength(records);
    expect(kept.length + droppedTotal).toBe(produced);
    const sequences = kept.map(({ sequence }) => sequence);
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  });

  test('never drops what was handed out and may have arrived', async () => {
    const spool = await open('lent', { capBytes: MIB });
    await appendMany(spool, 'debug', 300);
    const lent = await spool.read(1000);
    expect(lent.length).toBeGreaterThan(50);
    for (let round = 0; round < 10; round++) await appendMany(spool, 'alarm', 200);
    expect(spool.statistics().droppedTotal).toBeGreaterThan(500);
    expect(await spool.read(lent.length)).toEqual(lent);
  });

  test('holds a day without a connection at 1 Hz: within the cap, newest in full, older ever coarser', async () => {
    const spool = await open('day', { capBytes: 8 * MIB, memoryRecords: 10_000 });
    const start = 1_800_000_000_000;
    const sample = new Uint8Array(215).fill(3);
    const heap: number[] = [];
    for (let hour = 0; hour < 24; hour++) {
      const appended: Promise<number>[] = [];
      for (let second = 0; second < 3600; second++) {
        const time = start + (hour * 3600 + second) * 1000;
        appended.push(spool.append('sample', sample, time));
        if (second % 600 === 0) appended.push(spool.append('event', sample, time));
      }
      await Promise.all(appended);
      heap.push(process.memoryUsage().arrayBuffers);
    }
    const { size } = statSync(path('day'));
    expect(size).toBeLessThanOrEqual(8 * MIB);
    const { dropped, produced, records, droppedTotal } = spool.statistics();
    expect(produced).toBe(24 * 3606);
    expect(records + droppedTotal).toBe(produced);
    expect(dropped).toMatchObject({ event: 0, alarm: 0, update: 0 });
    // Payloads of a day are 18 MiB; none of them stays in memory.
    expect(heap.at(-1)! - heap[2]!).toBeLessThan(4 * MIB);

    const kept = (await drain(spool)).filter((record) => record.class === 'sample').slice(1000);
    const gaps = kept.slice(1).map((record, i) => (record.time - kept[i]!.time) / 1000);
    expect(gaps.slice(-4000).every((gap) => gap === 1)).toBe(true);
    expect(gaps.every((gap) => Number.isInteger(Math.log2(gap)))).toBe(true);
    expect(gaps.slice(1).every((gap, i) => gap <= gaps[i]!)).toBe(true);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(32);
  });
});
