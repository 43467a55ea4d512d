import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, test } from '@jest/globals';
import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import { ReadState, type FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { holds, wholeRead } from './reads.js';
import { libraryPath, nativeSubjects, subjects } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const BLOCK = 4096;
const { path, bytes } = folder.write('data', 256 * BLOCK);

describe.each(subjects)('lifetime, $name', ({ direct, start }) => {
  test('a closed flash refuses work, keeps its counters and closes again', () => {
    const flash = start(2);
    const file = flash.open(path, direct);
    const read = wholeRead(file, 0, BLOCK);
    flash.submit([read]);
    flash.wait(read.state);
    flash.close();
    flash.close();
    const closed = expect.objectContaining({ code: 'flash/closed' });
    expect(() => flash.submit([read])).toThrow(closed);
    expect(() => flash.open(path, direct)).toThrow(closed);
    expect(() => flash.setLanes(3)).toThrow(closed);
    expect(() => flash.inject({ kind: 'none' })).toThrow(closed);
    expect(flash.cancel(read.state)).toBe(false);
    expect(flash.promote(read.state)).toBe(false);
    expect(flash.wait(read.state)).toBe(ReadState.Landed);
    expect(flash.stats()).toMatchObject({ reads: 1, inFlight: 0 });
  });
});

describe.each(nativeSubjects)('native lifetime, $name', ({ direct, start }) => {
  test('closing cancels the queue, waits for what is in flight, and every word has an end', () => {
    for (let lanes = 1; lanes <= 8; lanes++) {
      const flash = start(lanes);
      flash.inject({ kind: 'jitter', seed: lanes, maxUs: 2000 });
      const file = flash.open(path, direct);
      const reads = Array.from({ length: 100 }, (_, i) =>
        wholeRead(file, i * BLOCK, BLOCK, { priority: i % 2 ? 'demand' : 'prefetch' }),
      );
      flash.submit(reads);
      if (lanes % 2 === 0) flash.wait(reads[1]!.state);
      flash.close();
      for (const read of reads) {
        const state = read.state.i32[0]!;
        expect([ReadState.Landed, ReadState.Cancelled]).toContain(state);
        if (state === ReadState.Landed) expect(holds(read, bytes)).toBe(true);
      }
    }
  });

  test('the number of lanes changes while reads run', () => {
    const flash = start(1);
    flash.inject({ kind: 'jitter', seed: 5, maxUs: 300 });
    const file = flash.open(path, direct);
    const memory = alignedMemory(200 * BLOCK);
    for (const lanes of [8, 1, 3, 64, 2, 7, 1, 5]) {
      const reads = Array.from({ length: 40 }, (_, i): FlashRead =>
        wholeRead(file, ((i * 13 + lanes) % 200) * BLOCK, BLOCK, {
          destination: memory.slice(i * BLOCK, BLOCK),
        }),
      );
      flash.submit(reads.slice(0, 20));
      flash.setLanes(lanes);
      expect(flash.lanes).toBe(lanes);
      flash.submit(reads.slice(20));
      for (const read of reads) {
        expect(flash.wait(read.state)).toBe(ReadState.Landed);
        expect(holds(read, bytes)).toBe(true);
      }
    }
    flash.close();
  });

  test('no more reads are in flight than there are lanes', () => {
    for (const lanes of [1, 3, 5]) {
      const flash = start(lanes);
      flash.inject({ kind: 'delay', us: 1000 });
      const file = flash.open(path, direct);
      let most = 0;
      // A stalled machine may see nothing of a round.
      while (most === 0) {
        const reads = Array.from({ length: 20 }, (_, i) => wholeRead(file, i * BLOCK, BLOCK));
        flash.submit(reads);
        for (let s = flash.stats(); s.queued + s.inFlight > 0; s = flash.stats())
          most = Math.max(most, s.inFlight);
        for (const read of reads) flash.wait(read.state);
      }
      flash.close();
      expect(most).toBeLessThanOrEqual(lanes);
    }
  });

  test('another thread that waits is released by landing and by closing', async () => {
    const flash = start(1);
    const file = flash.open(path, direct);
    flash.inject({ kind: 'delay', us: 30_000 });
    const reads = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => wholeRead(file, i * BLOCK, BLOCK));
    flash.submit(reads);
    const waiter = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const koffi = require(workerData.koffi);
       const wait = koffi.load(workerData.library).func('pm_flash_wait', 'int32_t', ['uint64_t', 'int32_t']);
       parentPort.postMessage(wait(workerData.first, -1));
       parentPort.postMessage(wait(workerData.last, -1));`,
      {
        eval: true,
        workerData: {
          koffi: process.cwd() + '/node_modules/koffi/index.cjs',
          library: libraryPath(),
          first: reads[0]!.state.address,
          last: reads[7]!.state.address,
        },
      },
    );
    const messages: number[] = [];
    await new Promise<void>((resolve, reject) => {
      waiter.on('error', reject);
      waiter.on('exit', () => resolve());
      waiter.on('message', (state: number) => {
        messages.push(state);
        if (messages.length === 1) flash.close();
      });
    });
    expect(messages[0]).toBe(ReadState.Landed);
    expect([ReadState.Landed, ReadState.Cancelled]).toContain(messages[1]);
    expect(reads[7]!.state.i32[0]).toBe(messages[1]);
  });
});
