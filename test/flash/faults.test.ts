import { openSync, closeSync, readSync, truncateSync, writeSync } from 'node:fs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { FlashError } from '../../firmware-bridge/flash/flash-error.js';
import { ReadState, type FlashFault } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { holds, wantedBytes, wholeRead } from './reads.js';
import { subjects } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const BLOCK = 4096;
const EIO = -5;

function flipBit(path: string, bit: number): void {
  const fd = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(fd, byte, 0, 1, bit >> 3);
  byte[0]! ^= 1 << (bit & 7);
  writeSync(fd, byte, 0, 1, bit >> 3);
  closeSync(fd);
}

describe.each(subjects)('faults, $name', ({ name, direct, start }) => {
  const tag = name.replace(' ', '-');

  test('a bit flipped in the file is found by its checksum; without one it is not', () => {
    const { path, bytes } = folder.write(`flip-${tag}`, 8 * BLOCK);
    const flash = start(2);
    const file = flash.open(path, direct);
    const begin = 100;
    const end = 8 * BLOCK - 300;
    const change = { dataOffset: begin, dataLength: end - begin, crc32c: crc32c(bytes.subarray(begin, end)) };
    for (const bit of [begin * 8, begin * 8 + 7, 4 * BLOCK * 8 + 3, end * 8 - 1]) {
      flipBit(path, bit);
      const checked = wholeRead(file, 0, 8 * BLOCK, change);
      const unchecked = wholeRead(file, 0, 8 * BLOCK, { ...change, crc32c: null });
      flash.submit([checked, unchecked]);
      expect(flash.wait(checked.state)).toBe(ReadState.Corrupt);
      expect(flash.wait(unchecked.state)).toBe(ReadState.Landed);
      flipBit(path, bit);
    }
    // Outside of the wanted bytes it does not matter; afterwards all is well.
    for (const bit of [begin * 8 - 1, end * 8]) flipBit(path, bit);
    const again = wholeRead(file, 0, 8 * BLOCK, change);
    flash.submit([again]);
    expect(flash.wait(again.state)).toBe(ReadState.Landed);
    expect(flash.stats()).toMatchObject({ reads: 9, failed: 4, corrupt: 4 });
    flash.close();
  });

  test('a file truncated after opening is short from where it ends', () => {
    const { path, bytes } = folder.write(`cut-${tag}`, 6 * BLOCK);
    const flash = start(3);
    const file = flash.open(path, direct);
    for (const size of [6 * BLOCK, 5 * BLOCK + 17, 4 * BLOCK, BLOCK + 1, BLOCK, 1, 0]) {
      truncateSync(path, size);
      for (const wantedEnd of [1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK, 6 * BLOCK]) {
        const read = wholeRead(file, 0, 6 * BLOCK, { dataLength: wantedEnd });
        flash.submit([read]);
        const state = flash.wait(read.state);
        expect([size, wantedEnd, state]).toEqual([
          size,
          wantedEnd,
          wantedEnd <= size ? ReadState.Landed : ReadState.Short,
        ]);
        if (state === ReadState.Landed) expect(holds(read, bytes)).toBe(true);
      }
      const beyond = wholeRead(file, 6 * BLOCK, BLOCK);
      flash.submit([beyond]);
      expect(flash.wait(beyond.state)).toBe(ReadState.Short);
    }
    flash.close();
  });

  test.each(['eio', 'short', 'flip'] as const)('%s at every read in turn hits that read alone', (kind) => {
    const { path, bytes } = folder.write(`nth-${kind}-${tag}`, 12 * BLOCK);
    const expected = { eio: EIO, short: ReadState.Short, flip: ReadState.Corrupt }[kind];
    const count = 12;
    for (let nth = 0; nth <= count; nth++) {
      const flash = start(1 + (nth % 4));
      const file = flash.open(path, direct);
      flash.inject({ kind, read: nth });
      const reads = Array.from({ length: count }, (_, i) =>
        wholeRead(file, i * BLOCK, BLOCK, { crc32c: crc32c(bytes.subarray(i * BLOCK, (i + 1) * BLOCK)) }),
      );
      flash.submit(reads);
      const states = reads.map((r) => flash.wait(r.state));
      expect(states.filter((s) => s === expected)).toHaveLength(nth < count ? 1 : 0);
      expect(states.filter((s) => s === ReadState.Landed)).toHaveLength(nth < count ? count - 1 : count);
      for (const [i, read] of reads.entries())
        if (states[i] === ReadState.Landed) expect(holds(read, bytes)).toBe(true);
      // The one that failed succeeds when asked again.
      const failed = reads.filter((_, i) => states[i] !== ReadState.Landed);
      flash.submit(failed);
      expect(failed.every((r) => flash.wait(r.state) === ReadState.Landed && holds(r, bytes))).toBe(true);
      expect(flash.stats().failed).toBe(nth < count ? 1 : 0);
      flash.close();
    }
  });

  test('a flip without a checksum changes exactly one bit', () => {
    const { path, bytes } = folder.write(`onebit-${tag}`, BLOCK);
    const flash = start(1);
    flash.inject({ kind: 'flip', read: 0 });
    const read = wholeRead(flash.open(path, direct), 0, BLOCK);
    flash.submit([read]);
    expect(flash.wait(read.state)).toBe(ReadState.Landed);
    const flipped = wantedBytes(read).reduce(
      (n, b, i) => n + (b ^ bytes[i]!).toString(2).replaceAll('0', '').length,
      0,
    );
    expect(flipped).toBe(1);
    flash.close();
  });

  test.each<FlashFault>([
    { kind: 'delay', us: 3000 },
    { kind: 'jitter', seed: 11, maxUs: 3000 },
  ])('slow reads bring the same bytes: %j', (fault) => {
    const { path, bytes } = folder.write(`slow-${tag}`, 12 * BLOCK);
    const flash = start(4);
    flash.inject(fault);
    const file = flash.open(path, direct);
    const reads = Array.from({ length: 12 }, (_, i) => wholeRead(file, i * BLOCK, BLOCK));
    flash.submit(reads);
    expect(reads.every((r) => flash.wait(r.state) === ReadState.Landed && holds(r, bytes))).toBe(true);
    flash.close();
  });

  test('a tail that is no multiple of 4 KiB arrives', () => {
    const { path, bytes } = folder.write(`tail-${tag}`, 3 * BLOCK + 777);
    const flash = start(1);
    const file = flash.open(path, direct);
    const tail = wholeRead(file, 2 * BLOCK, 2 * BLOCK, { dataOffset: 50, dataLength: BLOCK + 727 });
    const beyond = wholeRead(file, 2 * BLOCK, 2 * BLOCK, { dataOffset: 50, dataLength: BLOCK + 728 });
    flash.submit([tail, beyond]);
    expect(flash.wait(tail.state)).toBe(ReadState.Landed);
    expect(holds(tail, bytes)).toBe(true);
    expect(flash.wait(beyond.state)).toBe(ReadState.Short);
    flash.close();
  });
});

describe('errors of failed reads', () => {
  test.each([
    [EIO, 'flash/read', 'EIO'],
    [ReadState.Short, 'flash/short', 'truncated'],
    [ReadState.Corrupt, 'flash/corrupt', 'checksum'],
    [ReadState.Cancelled, 'flash/cancelled', 'cancelled'],
    [-99_999, 'flash/read', '-99999'],
  ])('state %i is %s', (state, code, text) => {
    const error = FlashError.fromState(state, 'expert 3 of layer 2', '/models/m.gguf');
    expect(error).toMatchObject({ name: 'FlashError', code });
    expect(error.message).toContain('expert 3 of layer 2');
    expect(error.message).toContain('/models/m.gguf');
    expect(error.message).toContain(text);
    expect(error.hint).not.toBe('');
  });
});
