import { afterAll, describe, expect, test } from '@jest/globals';
import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { ReadState, type FlashFault, type FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { seeded } from './random.js';
import { holds } from './reads.js';
import { subjects } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());

const BLOCK = 4096;
const MOST = 24 * BLOCK;
const BATCH = 32;
const ROUNDS = 60;
const GUARD = 0xa5;

const sizes = [3 * 2 ** 20 + 1234, 900 * BLOCK];
const files = sizes.map((size, i) => folder.write(`data${i}`, size, 7 + i));

describe.each(subjects)('random reads, $name', ({ direct, start }) => {
  test.each(['none', 'jitter', 'fragment'] as const)('bring the bytes of the file, fault %s', (kind) => {
    const next = seeded(kind.length * 1000);
    const flash = start(1 + next(8));
    const handles = files.map((f) => flash.open(f.path, direct));
    const faults: Record<typeof kind, FlashFault> = {
      none: { kind: 'none' },
      jitter: { kind: 'jitter', seed: 3, maxUs: 200 },
      fragment: { kind: 'fragment', bytes: 5000 },
    };
    flash.inject(faults[kind]);
    // One block more than a read takes stands guard behind it.
    const memory = alignedMemory(BATCH * (MOST + BLOCK));
    const states = alignedMemory(BATCH * 4);
    let landed = 0;
    let cancelled = 0;
    let bytes = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const reads: FlashRead[] = [];
      memory.bytes.fill(GUARD);
      for (let i = next(BATCH); i < BATCH; i++) {
        const f = next(files.length);
        const { bytes: content } = files[f]!;
        const unit = flash.isDirect(handles[f]!) ? BLOCK : 1;
        const offset = next(Math.floor(content.length / unit)) * unit;
        const length = (1 + next(MOST / unit)) * unit;
        const there = Math.min(length, content.length - offset);
        const dataOffset = next(there);
        const dataLength = 1 + next(there - dataOffset);
        const wanted = content.subarray(offset + dataOffset, offset + dataOffset + dataLength);
        reads.push({
          file: handles[f]!,
          offset,
          length,
          destination: memory.slice(i * (MOST + BLOCK), length),
          dataOffset,
          dataLength,
          crc32c: next(2) === 0 ? null : crc32c(wanted),
          state: states.slice(i * 4, 4),
          priority: next(3) === 0 ? 'demand' : 'prefetch',
        });
      }
      const split = next(reads.length);
      flash.submit(reads.slice(0, split));
      flash.submit(reads.slice(split));
      if (next(4) === 0) flash.setLanes(1 + next(8));
      const gone = new Set<FlashRead>();
      for (const read of reads) {
        const choice = next(8);
        if (choice === 0) flash.promote(read.state);
        if (choice === 1 && flash.cancel(read.state)) gone.add(read);
      }
      for (const read of reads) {
        const state = flash.wait(read.state);
        if (gone.has(read)) {
          expect(state).toBe(ReadState.Cancelled);
          cancelled++;
          continue;
        }
        expect({
          state,
          holds: holds(read, files[handles.indexOf(read.file)]!.bytes),
          read: gone.size,
        }).toEqual({
          state: ReadState.Landed,
          holds: true,
          read: gone.size,
        });
        landed++;
        bytes += read.dataLength;
      }
      for (const read of reads) {
        const end = read.destination.address - memory.address + read.length;
        expect(memory.bytes.subarray(end, end + 64).every((b) => b === GUARD)).toBe(true);
      }
    }
    const stats = flash.stats();
    expect(stats).toMatchObject({ reads: landed, failed: 0, corrupt: 0, cancelled, queued: 0, inFlight: 0 });
    expect(stats.bytes).toBeGreaterThanOrEqual(bytes);
    expect(stats.busyNs).toBeGreaterThan(0);
    expect(landed).toBeGreaterThan(500);
    flash.close();
  });

  test('many files and thousands of reads queued at once', () => {
    const flash = start(4);
    const handles = Array.from({ length: 20 }, () => flash.open(files[0]!.path, direct));
    const count = 2000;
    const memory = alignedMemory(count * BLOCK);
    const states = alignedMemory(count * 4);
    const reads = Array.from({ length: count }, (_, i): FlashRead => ({
      file: handles[i % 20]!,
      offset: ((i * 37) % 700) * BLOCK,
      length: BLOCK,
      destination: memory.slice(i * BLOCK, BLOCK),
      dataOffset: 0,
      dataLength: BLOCK,
      crc32c: null,
      state: states.slice(i * 4, 4),
      priority: i % 3 === 0 ? 'prefetch' : 'demand',
    }));
    flash.submit(reads);
    expect(reads.every((r) => flash.wait(r.state) === ReadState.Landed && holds(r, files[0]!.bytes))).toBe(
      true,
    );
    flash.close();
  });
});
