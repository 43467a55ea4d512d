import { describe, expect, test } from '@jest/globals';
import { Pace, type Clock } from '../../device/spool/pacing.js';
import type { SpoolRecord } from '../../device/spool/record.js';
import { replay } from '../../device/spool/replay.js';
import { bytes, spoolFolder } from './folder.js';
import { random } from './random.js';

const { open } = spoolFolder();

/** Time that passes only by sleeping. */
class SimulatedClock implements Clock {
  time = 0;
  now = () => this.time;
  async sleep(milliseconds: number): Promise<void> {
    this.time += milliseconds;
  }
}

async function filled(name: string, count: number, size = 100) {
  const spool = await open(name);
  await Promise.all(Array.from({ length: count }, () => spool.append('sample', new Uint8Array(size))));
  return spool;
}

describe('replay', () => {
  test('keeps to the rates of records and of bytes, in order', async () => {
    const next = random(5);
    const spool = await open('rates');
    const sizes = Array.from({ length: 600 }, () => Math.floor(next() ** 4 * 20_000));
    await Promise.all(sizes.map((size) => spool.append('event', new Uint8Array(size))));
    const clock = new SimulatedClock();
    const sent: { at: number; size: number; sequence: number }[] = [];
    const send = async ({ payload, sequence }: SpoolRecord) =>
      void sent.push({ at: clock.now(), size: payload.length, sequence });
    const count = await replay(spool, send, {
      recordsPerSecond: 20,
      bytesPerSecond: 50_000,
      untilEmpty: true,
      clock,
    });
    expect(count).toBe(600);
    expect(sent.map(({ sequence }) => sequence)).toEqual(sizes.map((_, i) => i + 1));
    let overRecords = 0;
    let overBytes = 0;
    for (let from = 0; from < 600; from += 7) {
      let total = 0;
      for (let to = from; to < 600; to++) {
        const seconds = (sent[to]!.at - sent[from]!.at) / 1000;
        overRecords = Math.max(overRecords, to - from + 1 - 20 * seconds);
        overBytes = Math.max(overBytes, total - 50_000 * seconds);
        total += sent[to]!.size;
      }
    }
    expect(overRecords).toBeLessThanOrEqual(3);
    expect(overBytes).toBeLessThanOrEqual(16 * 1024 + 20_000);
    expect(clock.time).toBeGreaterThan(29_000);
    expect(spool.statistics().records).toBe(spool.statistics().produced - spool.statistics().released);
    expect(await spool.read(10)).toEqual([]);
  });

  test('never has more than the window in flight, and takes acknowledgements in any order', async () => {
    const spool = await filled('window', 150);
    const next = random(8);
    const open: (() => void)[] = [];
    let most = 0;
    const send = () => new Promise<void>((resolve) => void (most = Math.max(most, open.push(resolve))));
    const clock = new SimulatedClock();
    const done = replay(spool, send, { window: 7, recordsPerSecond: 1e6, untilEmpty: true, clock });
    let ended = false;
    void done.then(() => (ended = true));
    while (!ended) {
      open.splice(Math.floor(next() * open.length), 1)[0]?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await done).toBe(150);
    expect(most).toBe(7);
    expect(await spool.read(10)).toEqual([]);
  });

  test('stops at a refusal; what was not acknowledged before it comes again', async () => {
    const spool = await filled('refusal', 30);
    const clock = new SimulatedClock();
    const send = async ({ sequence }: SpoolRecord) => {
      if (sequence === 12) throw new Error('refused');
    };
    const options = { recordsPerSecond: 1e6, untilEmpty: true, clock };
    await expect(replay(spool, send, options)).rejects.toThrow('refused');
    const again: number[] = [];
    await replay(spool, async ({ sequence }) => void again.push(sequence), options);
    expect(again).toEqual(Array.from({ length: 19 }, (_, i) => i + 12));
  });

  test('sends what is appended later, until it is stopped', async () => {
    const spool = await filled('live', 2);
    const stop = new AbortController();
    const sent: number[] = [];
    const ended = replay(
      spool,
      async ({ sequence }) => {
        sent.push(sequence);
        if (sequence === 2) void spool.append('alarm', bytes('later'));
        if (sequence === 3) stop.abort();
      },
      { signal: stop.signal, clock: new SimulatedClock() },
    );
    await ended;
    expect(sent).toEqual([1, 2, 3]);
  });

  test('ends when the spool is closed', async () => {
    const spool = await filled('closed', 1);
    const ended = replay(spool, async () => void setImmediate(() => spool.close()));
    expect(await ended).toBe(1);
  });

  test('refuses a window or a rate that cannot work', async () => {
    const spool = await filled('options', 1);
    for (const options of [{ window: 21 }, { window: 0 }, { recordsPerSecond: 0 }, { bytesPerSecond: NaN }])
      await expect(replay(spool, async () => {}, options)).rejects.toMatchObject({ code: 'spool/option' });
  });
});

test('a pace is not moved by a clock that goes back', () => {
  let time = 1000;
  const pace = new Pace(10, 1, { now: () => time });
  pace.take(11);
  time = 0;
  expect(pace.delay()).toBe(1000);
  time = 1000;
  expect(pace.delay()).toBe(0);
});
