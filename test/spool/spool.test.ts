import { describe, expect, test } from '@jest/globals';
import { MAXIMUM_PAYLOAD_BYTES, RECORD_CLASSES } from '../../device/spool/record.js';
import { balance, bytes, drain, spoolFolder, text } from './folder.js';
import { random } from './random.js';

const { open } = spoolFolder();

describe('a spool', () => {
  test('gives back what was appended, in order, until it is released', async () => {
    const spool = await open('order');
    const sequences = await Promise.all(
      RECORD_CLASSES.map((name, index) => spool.append(name, bytes(`p${index}`), 1000 + index)),
    );
    expect(sequences).toEqual([1, 2, 3, 4, 5]);
    const records = await spool.read(10);
    expect(records.map(text)).toEqual(['p0', 'p1', 'p2', 'p3', 'p4']);
    expect(records[2]).toMatchObject({ boot: spool.boot, sequence: 3, time: 1002, class: 'event' });
    expect(await spool.read(2)).toEqual(records.slice(0, 2));
    expect(await spool.read(2, records[1]!)).toEqual(records.slice(2, 4));
    await spool.release(records[3]!);
    expect(await spool.read(10)).toEqual(records.slice(4));
    expect(spool.statistics()).toMatchObject({ produced: 5, released: 4, records: 1, droppedTotal: 0 });
  });

  test('keeps everything over restarts, each a new boot after the earlier ones', async () => {
    const boots: string[] = [];
    for (let run = 0; run < 3; run++) {
      const spool = await open('restarts');
      boots.push(spool.boot);
      for (let i = 1; i <= 3; i++) expect(await spool.append('event', bytes(`${run}/${i}`))).toBe(i);
      await spool.close();
    }
    expect(new Set(boots).size).toBe(3);
    const spool = await open('restarts');
    const records = await drain(spool);
    expect(records.map(({ boot, sequence }) => `${boots.indexOf(boot)}/${sequence}`)).toEqual(
      records.map(text),
    );
    expect(records).toHaveLength(9);
    expect(spool.statistics()).toMatchObject({ produced: 9, released: 9, records: 0 });
  });

  test('is not confused by a clock that jumps', async () => {
    const spool = await open('clock');
    const times = [5_000, 1_000, 0, -7, 9_000, 1_700_000_000_000, 3];
    await Promise.all(times.map((time) => spool.append('sample', bytes(String(time)), time)));
    const records = await spool.read(100);
    expect(records.map(({ time }) => time)).toEqual(times);
    expect(records.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test('takes payloads up to the limit, empty ones too, and refuses what it cannot take', async () => {
    const spool = await open('payloads');
    await spool.append('event', new Uint8Array(0));
    await spool.append('event', new Uint8Array(MAXIMUM_PAYLOAD_BYTES).fill(7));
    expect((await spool.read(10)).map(({ payload }) => payload.length)).toEqual([0, MAXIMUM_PAYLOAD_BYTES]);
    const large = new Uint8Array(MAXIMUM_PAYLOAD_BYTES + 1);
    await expect(spool.append('event', large)).rejects.toMatchObject({ code: 'spool/payload-too-large' });
    await expect(spool.append('other' as 'event', bytes(''))).rejects.toMatchObject({ code: 'spool/option' });
    await expect(spool.append('event', 'x' as never)).rejects.toMatchObject({ code: 'spool/option' });
    await expect(spool.append('event', bytes(''), NaN)).rejects.toMatchObject({ code: 'spool/option' });
    await expect(spool.read(0)).rejects.toMatchObject({ code: 'spool/option' });
    expect(await spool.append('event', bytes('next'))).toBe(3);
    await spool.close();
    await expect(spool.append('event', bytes(''))).rejects.toMatchObject({ code: 'spool/closed' });
    expect(await spool.stored()).toBe(false);
  });

  test('copies the payload, which the caller may use again', async () => {
    const spool = await open('copy');
    const payload = bytes('before');
    const appended = spool.append('event', payload);
    payload.fill(0);
    await appended;
    expect((await spool.read(1)).map(text)).toEqual(['before']);
  });

  test('belongs to one process at a time, and says so', async () => {
    await open('shared');
    await expect(open('shared')).rejects.toMatchObject({ code: 'spool/in-use' });
  });

  test('refuses options that cannot work', async () => {
    for (const options of [
      { capBytes: 1000 },
      { memoryRecords: 0 },
      { retryMilliseconds: NaN },
      { path: '' },
    ])
      await expect(open('options', options)).rejects.toMatchObject({ code: 'spool/option' });
  });

  test('stores what is waiting when it is closed', async () => {
    const spool = await open('closing', { commitMilliseconds: 60_000 });
    const waiting = spool.append('alarm', bytes('late'));
    await spool.close();
    expect(await waiting).toBe(1);
    expect(await drain(await open('closing'))).toMatchObject([{ class: 'alarm', sequence: 1 }]);
  });

  test('ignores a release of records that it does not know', async () => {
    const spool = await open('unknown');
    await spool.append('event', bytes('a'));
    await spool.release({ boot: 'another', sequence: 99 });
    expect(await spool.read(10)).toHaveLength(1);
  });

  test('behaves like a list under random use', async () => {
    const next = random(20);
    const model: string[] = [];
    let spool = await open('random');
    let number = 0;
    for (let step = 0; step < 80; step++) {
      const dice = next();
      if (dice < 0.5) {
        const contents = Array.from({ length: Math.floor(next() * 40) }, () => `${number++}`);
        const name = () => RECORD_CLASSES[Math.floor(next() * 5)]!;
        await Promise.all(contents.map((content) => spool.append(name(), bytes(content))));
        model.push(...contents);
      } else if (dice < 0.95) {
        const limit = 1 + Math.floor(next() * 60);
        const records = await spool.read(limit);
        expect(records.map(text)).toEqual(model.slice(0, limit));
        const upTo = records[Math.floor(next() * records.length)];
        if (!upTo) continue;
        const released = spool.release(upTo);
        model.splice(0, records.indexOf(upTo) + 1);
        if (next() < 0.3) await released;
      } else {
        await spool.close();
        spool = await open('random');
      }
      expect(balance(spool)).toEqual({ missing: 0, records: 0 });
    }
    expect((await drain(spool)).map(text)).toEqual(model);
    expect(spool.statistics().produced).toBe(number);
  });
});
