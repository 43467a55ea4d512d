import { afterAll, describe, expect, test } from '@jest/globals';
import { ReadState, type Flash, type FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { wholeRead } from './reads.js';
import { backends, startNative } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const { path } = folder.write('data', 64 * 4096);
const EIO = -5;

/** Reads that were queued, and what was observed while they were. */
interface Arrangement {
  reads: FlashRead[];
  seen?: unknown[];
}
type Arrange = (flash: Flash, file: number) => Arrangement;

/**
 * Fills the only lane with a slow read, queues reads behind it, and returns each read's state when the `nth` read that
 * is begun after the slow one fails. When the machine stalls, the slow read was not slow enough and all is done again.
 */
function failNth(backend: 'pread' | 'io_uring', nth: number, arrange: Arrange) {
  for (let us = 20_000; ; us *= 2) {
    const flash = startNative(1, backend);
    const file = flash.open(path, false);
    flash.inject({ kind: 'delay', us });
    const slow = wholeRead(file, 0, 4096);
    flash.submit([slow]);
    for (let s = flash.stats(); s.inFlight + s.reads === 0; s = flash.stats());
    flash.inject({ kind: 'eio', read: nth });
    const { reads, seen } = arrange(flash, file);
    const inTime = flash.stats().reads === 0;
    const states = reads.map((r) => flash.wait(r.state));
    expect(flash.wait(slow.state)).toBe(ReadState.Landed); // and its memory is kept until here
    flash.close();
    if (inTime) return { states, seen };
  }
}

/** The order in which reads are begun, found by failing the first, the second, … */
function orderOf(backend: 'pread' | 'io_uring', arrange: Arrange) {
  const order: number[] = [];
  for (let nth = 1; ; nth++) {
    const { states, seen } = failNth(backend, nth, arrange);
    const failed = states.indexOf(EIO);
    if (failed < 0) return { order, seen };
    order.push(failed);
  }
}

describe.each(backends)('the queue, %s', (backend) => {
  test('begins demand reads first, each kind in the order of submission', () => {
    const { order } = orderOf(backend, (flash, file) => {
      const kinds = ['prefetch', 'demand', 'prefetch', 'demand'] as const;
      const reads = kinds.map((priority, i) => wholeRead(file, i * 4096, 4096, { priority }));
      flash.submit(reads.slice(0, 2));
      flash.submit(reads.slice(2));
      return { reads };
    });
    expect(order).toEqual([1, 3, 0, 2]);
  });

  test('promotes a prefetch to the end of the demand reads, and only a prefetch', () => {
    const { order, seen } = orderOf(backend, (flash, file) => {
      const kinds = ['prefetch', 'prefetch', 'demand'] as const;
      const reads = kinds.map((priority, i) => wholeRead(file, i * 4096, 4096, { priority }));
      flash.submit(reads);
      return { reads, seen: [1, 1, 2].map((i) => flash.promote(reads[i]!.state)) };
    });
    expect(order).toEqual([2, 1, 0]);
    expect(seen).toEqual([true, false, false]);
  });

  test.each([0, 1, 2, 3])('cancels what is queued at place %d and nothing else', (victim) => {
    const { states, seen } = failNth(backend, 1000, (flash, file) => {
      const reads = [0, 1, 2, 3].map((i) =>
        wholeRead(file, i * 4096, 4096, { priority: i < 2 ? 'demand' : 'prefetch' }),
      );
      flash.submit(reads);
      const before = flash.stats().queued;
      const cancelled = [flash.cancel(reads[victim]!.state), flash.cancel(reads[victim]!.state)];
      return { reads, seen: [before, ...cancelled, flash.stats().queued, flash.stats().cancelled] };
    });
    expect(states).toEqual([0, 1, 2, 3].map((i) => (i === victim ? ReadState.Cancelled : ReadState.Landed)));
    expect(seen).toEqual([4, true, false, 3, 1]);
  });

  test('cannot cancel or promote what has ended or was never there', () => {
    const flash = startNative(2, backend);
    const read = wholeRead(flash.open(path, false), 0, 4096, { priority: 'prefetch' });
    expect(flash.cancel(read.state)).toBe(false);
    flash.submit([read]);
    expect(flash.wait(read.state)).toBe(ReadState.Landed);
    expect(flash.cancel(read.state)).toBe(false);
    expect(flash.promote(read.state)).toBe(false);
    expect(read.state.i32[0]).toBe(ReadState.Landed);
    flash.close();
  });
});
