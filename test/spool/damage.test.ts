import { describe, expect, test } from '@jest/globals';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { truncateSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { bytes, drain, spoolFolder, text } from './folder.js';
import { random } from './random.js';

const { open, path } = spoolFolder();

/** A spool of 300 records, closed: the file that is damaged. */
const sound = (async () => {
  const spool = await open('sound');
  await Promise.all(Array.from({ length: 300 }, (_, i) => spool.append('event', bytes(`${i}`.padEnd(200)))));
  await spool.close();
  return path('sound');
})();

async function damaged(name: string, damage: (file: string) => void): Promise<string> {
  const file = path(name);
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(await sound, file);
  damage(file);
  return file;
}

function overwrite(file: string, at: number, content: Uint8Array): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, content, 0, content.length, at);
  closeSync(descriptor);
}

const noise = (length: number, seed: number) => {
  const next = random(seed);
  return Uint8Array.from({ length }, () => Math.floor(next() * 256));
};

const aside = (file: string) => readdirSync(dirname(file)).filter((name) => name.includes('.corrupt-'));

describe('a damaged database is moved aside, counted, and a new one begun:', () => {
  const cases: Record<string, (file: string) => void> = {
    garbage: (file) => writeFileSync(file, noise(50_000, 1)),
    text: (file) => writeFileSync(file, 'this is not a database, and never was'),
    'truncated to half': (file) =>
      truncateSync(file, Math.floor(readFileSync(file).length / 2 / 4096) * 4096),
    'truncated inside its header': (file) => truncateSync(file, 40),
    'a flipped header': (file) => overwrite(file, 0, bytes('sqlite FORMAT 3')),
    'a header of another version': (file) => overwrite(file, 60, Uint8Array.of(0, 0, 0, 77)),
    'garbage in its schema': (file) => overwrite(file, 120, noise(3900, 2)),
    'garbage in a table': (file) => overwrite(file, 4096 * 5, noise(4096 * 8, 3)),
  };
  for (const [name, damage] of Object.entries(cases))
    test(name, async () => {
      const file = await damaged(name, damage);
      const spool = await open(name);
      expect(spool.statistics()).toMatchObject({ corruptions: 1, records: 0, fault: null });
      expect(aside(file)).toEqual(['spool.sqlite.corrupt-1']);
      expect(await spool.append('alarm', bytes('alive'))).toBe(1);
      expect((await spool.read(10)).map(text)).toEqual(['alive']);
      const { produced, released, records, droppedTotal } = spool.statistics();
      expect(produced).toBe(released + records + droppedTotal);
    });
});

describe('damage', () => {
  test('counts the records that went with it, where their number can still be read', async () => {
    await damaged('counted', (file) => overwrite(file, 4096 * 14, noise(4096 * 4, 4)));
    const spool = await open('counted');
    expect(spool.statistics()).toMatchObject({ corruptions: 1, produced: 300, records: 0 });
    expect(spool.statistics().dropped.event).toBe(300);
  });

  test('is counted on, with only the newest two files kept', async () => {
    const file = await damaged('often', (file) => writeFileSync(file, noise(9000, 5)));
    for (let count = 1; count <= 4; count++) {
      const spool = await open('often');
      expect(spool.statistics().corruptions).toBe(count);
      await spool.append('event', bytes('x'));
      await spool.close();
      if (count < 4) writeFileSync(file, noise(9000, 5 + count));
    }
    expect(aside(file)).toEqual(['spool.sqlite.corrupt-3', 'spool.sqlite.corrupt-4']);
  });

  test('of the log costs no more than what the log held', async () => {
    const file = await damaged('log', (file) => writeFileSync(`${file}-wal`, noise(40_000, 9)));
    const spool = await open('log');
    expect(spool.statistics()).toMatchObject({ corruptions: 0, records: 300 });
    expect(await drain(spool)).toHaveLength(300);
    expect(existsSync(`${file}.corrupt-1`)).toBe(false);
  });

  test('anywhere leaves a spool that works and whose counters add up', async () => {
    const next = random(11);
    const { length } = readFileSync(await sound);
    for (let round = 0; round < 25; round++) {
      const name = `anywhere-${round}`;
      await damaged(name, (file) => {
        for (let i = 0; i < 3; i++)
          overwrite(file, Math.floor(next() * (length - 64)), noise(64, round * 3 + i));
      });
      const spool = await open(name);
      await spool.append('alarm', bytes('alive'));
      const { records, produced, droppedTotal } = spool.statistics();
      const kept = await drain(spool);
      expect(kept.map(text).at(-1)).toBe('alive');
      expect(kept).toHaveLength(records);
      expect(kept.length + droppedTotal).toBe(produced);
      await spool.close();
    }
  });
});
