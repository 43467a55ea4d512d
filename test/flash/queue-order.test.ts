import { afterAll, describe, expect, test } from '@jest/globals';
import { ReadState, type Flash, type FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { wholeRead } from './reads.js';
import { backends, startNative } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const { path } = folder.write('data', 64 * 4096);
const EIO = -5;

/**
 * Fills the only lane with a slow read, queues reads behind it, and returns each read's state when the `nth` read that
 * is begun after the slow one fails. A machine may stall between the steps; then the slow read was not slow enough.
 */
function failNth(
  backend: 'pread' | 'io_uring',
  nth: number,
  arrange: (flash: Flash, file: number) => FlashRead[],
): number[] {
  for (let us = 20_000; ; us *= 4) {
    const flash = startNative(1, backend);
    const file = flash.open(path, false);
    flash.inject({ kind: 'delay', us });
    const slow = wholeRead(file, 0, 4096);
    flash.submit([slow]);
    for (let s = flash.stats(); s.inFlight + s.reads === 0; s = flash.stats());
    flash.inject({ kind: 'eio', read: nth });
    const reads = arrange(flash, file);
    const inTime = slow.state.i32[0] === ReadState.Pending;
    const states = reads.map((r) => flash.wait(r.state));
    flash.close();
    if (inTime) return states;
  }
}

/** The order in which reads are begun, found by failing the first, the second, … */
function orderOf(
  backend: 'pread' | 'io_uring',
  arrange: (flash: Flash, file: number) => FlashRead[],
): number[] {
  const order: number[] = [];
  for (let nth = 1; ; nth++) {
    const failed = failNth(backend, nth, arrange).indexOf(EIO);
    if (failed < 0) return order;
    order.push(failed);
  }
}

describe.each(backends)('the queue, %s', (backend) => {
  test('begins demand reads first, each kind in the order of submission', () => {
    const order = orderOf(backend, (flash, file) => {
      const kinds = ['prefetch', 'demand', 'prefetch', 'demand'] as const;
      const reads = kinds.map((priority, i) => wholeRead(file, i * 4096, 4096, { priority }));
      flash.submit(reads.slice(0, 2));
      flash.submit(reads.slice(2));
      return reads;
    });
    expect(order).toEqual([1, 3, 0, 2]);
  });

  test('promotes a prefetch to the end of the demand reads', () => {
    const order = orderOf(backend, (flash, file) => {
      const kinds = ['prefetch', 'prefetch', 'demand'] as const;
      const reads = kinds.map((priority, i) => wholeRead(file, i * 4096, 4096, { priority }));
      flash.submit(reads);
      expect(flash.promote(reads[1]!.state)).toBe(true);
      expect(flash.promote(reads[1]!.state)).toBe(false); // a demand read by now
      expect(flash.promote(reads[2]!.state)).toBe(false);
      return reads;
    });
    expect(order).toEqual([2, 1, 0]);
  });

  test('cancels what is queued, wherever it stands, and nothing else', () => {
    for (const victim of [0, 1, 2, 3]) {
      const states = failNth(backend, 1000, (flash, file) => {
        const reads = [0, 1, 2, 3].map((i) =>
          wholeRead(file, i * 4096, 4096, { priority: i < 2 ? 'demand' : 'prefetch' }),
        );
        flash.submit(reads);
        expect(flash.stats()).toMatchObject({ queued: 4, inFlight: 1 });
        expect(flash.cancel(reads[victim]!.state)).toBe(true);
        expect(flash.cancel(reads[victim]!.state)).toBe(false);
        expect(flash.stats()).toMatchObject({ queued: 3, cancelled: 1 });
        return reads;
      });
      expect(states).toEqual(
        [0, 1, 2, 3].map((i) => (i === victim ? ReadState.Cancelled : ReadState.Landed)),
      );
    }
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
