import { afterAll, describe, expect, test } from '@jest/globals';
import { probe, simplest, type ProbeMeasurement } from '../../firmware-bridge/flash/probe.js';
import { FlashFolder } from './flash-folder.js';
import { backends } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());

describe('probe', () => {
  test.each([
    ['a file of many extents', 4 * 2 ** 20, 100_000],
    ['a file smaller than an extent', 10_000, 1_000_000],
    ['a file smaller than a block', 100, 5000],
    ['extents smaller than a block', 50_000, 10],
  ])('measures %s', async (name, size, extentBytes) => {
    const { path } = folder.write(name, size);
    const found = await probe(path, { extentBytes, budgetMs: 40 });
    expect(found.bytesPerSecond).toBeGreaterThan(0);
    expect(found.latencyUs).toBeGreaterThan(0);
    expect(backends).toContain(found.backend);
    expect([1, 2, 4, 8]).toContain(found.lanes);
    expect(found.measurements.length).toBeGreaterThanOrEqual(2);
    expect(found.measurements.every((m) => m.bytes > 0 && m.bytesPerSecond > 0)).toBe(true);
    expect(found.measurements).toContainEqual(
      expect.objectContaining({ backend: found.backend, direct: found.direct, lanes: found.lanes }),
    );
    expect(found.measurements.reduce((sum, m) => sum + m.bytes, 0)).toBeLessThanOrEqual(256 * 2 ** 20);
  });

  test('gives the event loop its turns', async () => {
    const { path } = folder.write('turns', 2 ** 20);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await probe(path, { extentBytes: 65_536, budgetMs: 60 });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });

  test('stops when the signal says so', async () => {
    const { path } = folder.write('stop', 2 ** 20);
    await expect(probe(path, { extentBytes: 4096, signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 10);
    await expect(
      probe(path, { extentBytes: 4096, budgetMs: 60_000, signal: controller.signal }),
    ).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('refuses what cannot be measured', async () => {
    const { path } = folder.write('refused', 0);
    await expect(probe(path, { extentBytes: 4096 })).rejects.toMatchObject({ code: 'flash/open' });
    await expect(probe(`${path}.missing`, { extentBytes: 4096 })).rejects.toMatchObject({
      code: 'flash/open',
    });
    await expect(probe(folder.path, { extentBytes: 4096 })).rejects.toMatchObject({ code: 'flash/open' });
    await expect(probe(path, { extentBytes: 0 })).rejects.toMatchObject({ code: 'flash/request' });
    await expect(probe(path, { extentBytes: 1, budgetMs: -1 })).rejects.toMatchObject({
      code: 'flash/request',
    });
  });
});

describe('the simplest of the fast ways', () => {
  const way = (
    backend: 'pread' | 'io_uring',
    direct: boolean,
    lanes: number,
    speed: number,
  ): ProbeMeasurement => ({
    backend,
    direct,
    lanes,
    bytes: 1,
    bytesPerSecond: speed,
  });

  test.each<[string, ProbeMeasurement[], number]>([
    ['the fastest by far', [way('pread', true, 4, 50), way('io_uring', false, 8, 100)], 1],
    ['pread within 5 %', [way('io_uring', true, 1, 100), way('pread', false, 8, 95)], 1],
    ['not pread below 95 %', [way('io_uring', true, 1, 100), way('pread', false, 8, 94.9)], 0],
    ['fewer lanes', [way('pread', true, 8, 100), way('pread', false, 2, 96)], 1],
    ['direct rather than buffered', [way('pread', false, 4, 100), way('pread', true, 4, 97)], 1],
  ])('%s', (_, measurements, expected) => {
    expect(simplest(measurements)).toBe(measurements[expected]);
  });
});
