import { afterAll, describe, expect, test } from '@jest/globals';
import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import { flashLibrary } from '../../firmware-bridge/flash/flash-library.js';
import { ReadState, type FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { stateWord, wholeRead } from './reads.js';
import { nativeSubjects, startNative, subjects } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const BLOCK = 4096;
const { path } = folder.write('data', 8 * BLOCK);

const impossible: [string, Partial<FlashRead>][] = [
  ['a file never opened', { file: 7 }],
  ['a negative file', { file: -1 }],
  ['a negative offset', { offset: -BLOCK }],
  ['an offset with a fraction', { offset: 0.5 }],
  ['an offset beyond all files', { offset: Number.MAX_SAFE_INTEGER }],
  ['no length', { length: 0 }],
  ['a negative length', { length: -BLOCK }],
  ['a length that is no number', { length: Number.NaN }],
  ['memory shorter than the read', { destination: alignedMemory(BLOCK) }],
  ['data before the read', { dataOffset: -1 }],
  ['data after the read', { dataOffset: 2 * BLOCK - 9, dataLength: 10 }],
  ['no data', { dataLength: 0 }],
  ['data of infinite length', { dataLength: Infinity }],
  ['a state word too short', { state: alignedMemory(3) }],
  ['a state word between words', { state: alignedMemory(8).slice(2, 4) }],
  ['an unknown priority', { priority: 'soon' as 'demand' }],
];

describe.each(subjects)('impossible reads, $name', ({ direct, start }) => {
  const flash = start(2);
  const file = flash.open(path, direct);
  afterAll(() => flash.close());

  test.each(impossible)('%s is refused, and nothing of the call is queued', (_, change) => {
    const good = wholeRead(file, 0, BLOCK);
    good.state.i32[0] = 77;
    const bad = wholeRead(file, 0, 2 * BLOCK, change);
    const reads = flash.stats().reads;
    expect(() => flash.submit([good, bad])).toThrow(
      expect.objectContaining({
        code: 'flash/request',
        message: expect.stringContaining('read 1 of the call'),
      }),
    );
    expect(good.state.i32[0]).toBe(77);
    expect(flash.stats()).toMatchObject({ reads, queued: 0, inFlight: 0 });
  });

  test('more reads than can be queued are refused', () => {
    const read = wholeRead(file, 0, BLOCK);
    expect(() => flash.submit(new Array<FlashRead>(65_537).fill(read))).toThrow(
      expect.objectContaining({ code: 'flash/request' }),
    );
  });

  test('no reads are no error', () => {
    expect(() => flash.submit([])).not.toThrow();
  });

  test.each([0, 65, 1.5, Number.NaN])('%d lanes are refused', (lanes) => {
    expect(() => flash.setLanes(lanes)).toThrow(expect.objectContaining({ code: 'flash/request' }));
    expect(() => start(lanes)).toThrow(expect.objectContaining({ code: 'flash/request' }));
  });
});

describe.each(nativeSubjects.filter((s) => s.direct))('direct files, $name', ({ start }) => {
  const flash = start(1);
  const file = flash.open(path, true);
  afterAll(() => flash.close());

  test.each<[string, Partial<FlashRead>]>([
    ['offset', { offset: 512 }],
    ['length', { length: BLOCK + 1, destination: alignedMemory(2 * BLOCK) }],
    ['memory', { destination: alignedMemory(3 * BLOCK).slice(16) }],
  ])('an unaligned %s is refused where the file is direct', (_, change) => {
    const read = wholeRead(file, 0, 2 * BLOCK, { dataLength: 16, ...change });
    if (flash.isDirect(file)) {
      expect(() => flash.submit([read])).toThrow(expect.objectContaining({ code: 'flash/request' }));
    } else {
      flash.submit([read]);
      expect(flash.wait(read.state)).toBe(ReadState.Landed);
    }
  });
});

describe('the C interface checks for itself', () => {
  const library = flashLibrary()!;
  const handle = library.create(1, 0);
  const file = library.open(handle, path, 0);
  afterAll(() => library.destroy(handle));

  /** pm_flash_read as in the header, all fields given. */
  function encode(fields: Partial<Record<string, bigint>>): DataView {
    const destination = BigInt(memory.address);
    const view = new DataView(new ArrayBuffer(64));
    const all = { dst: destination, offset: 0n, length: 4096n, dataOffset: 0n, dataLength: 4096n, ...fields };
    [all.dst, all.offset, all.length, all.dataOffset, all.dataLength].forEach((v, i) =>
      view.setBigInt64(i * 8, BigInt.asIntN(64, v), true),
    );
    view.setBigInt64(40, fields['state'] ?? BigInt(state.address), true);
    view.setInt32(48, Number(fields['file'] ?? BigInt(file)), true);
    view.setInt32(52, Number(fields['priority'] ?? 0n), true);
    view.setUint32(60, Number(fields['check'] ?? 0n), true);
    return view;
  }
  const memory = alignedMemory(BLOCK);
  const state = stateWord();
  const submit = (view: DataView): number => library.submit(handle, library.addressOf(view), 1);

  test.each<[string, Partial<Record<string, bigint>>]>([
    ['a null destination', { dst: 0n }],
    ['a destination that wraps around', { dst: -1n }],
    ['a negative offset', { offset: -1n }],
    ['offset and length that overflow', { offset: 2n ** 63n - 100n }],
    ['a negative length', { length: -1n }],
    ['no length', { length: 0n }],
    ['data behind the end by overflow', { dataOffset: 1n, dataLength: 2n ** 63n - 1n }],
    ['negative data', { dataOffset: -1n }],
    ['a null state', { state: 0n }],
    ['an odd state', { state: 4097n }],
    ['an unknown file', { file: 1n }],
    ['a negative file', { file: -1n }],
    ['an unknown priority', { priority: 2n }],
    ['an unknown check', { check: 2n }],
  ])('%s returns 1 + index', (_, fields) => {
    expect(submit(encode(fields))).toBe(1);
  });

  test('a negative count and a null path are errors', () => {
    expect(library.submit(handle, 0, -1)).toBe(-22);
    expect(library.drop(handle, file, -1, 5)).toBe(-22);
    expect(library.drop(handle, 99, 0, 5)).toBe(-9);
    expect(library.create(1, 9)).toBe(0);
  });

  test('memory that is not there is an error of the read, not of the process', () => {
    expect(submit(encode({ dst: 8192n }))).toBe(0);
    expect(library.wait(state.address, -1)).toBe(-14);
    expect(submit(encode({}))).toBe(0);
    expect(library.wait(state.address, -1)).toBe(1);
  });

  test('a wait with a timeout gives up', () => {
    const never = stateWord();
    expect(library.wait(never.address, 1)).toBe(ReadState.Pending);
    expect(startNative(1, 'pread').waitAtMost(never, 0)).toBe(ReadState.Pending);
  });
});
