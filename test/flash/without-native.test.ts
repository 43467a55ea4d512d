import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FlashFolder } from './flash-folder.js';

/** This file's own module registry sees no native library: the modules are imported after the variable is set. */
const before = process.env['POCKETMOE_NATIVE'];
const folder = new FlashFolder();
beforeAll(() => {
  process.env['POCKETMOE_NATIVE'] = '0';
});
afterAll(() => {
  if (before === undefined) delete process.env['POCKETMOE_NATIVE'];
  else process.env['POCKETMOE_NATIVE'] = before;
  folder.remove();
});

test('without the native library reads are synchronous, and the probe still answers', async () => {
  const { openFlash } = await import('../../firmware-bridge/flash/open-flash.js');
  const { probe } = await import('../../firmware-bridge/flash/probe.js');
  const { holds, wholeRead } = await import('./reads.js');
  const { path, bytes } = folder.write('data', 100_000);
  const flash = openFlash({ lanes: 4, backend: 'io_uring' });
  expect(flash.backend).toBe('fallback');
  const read = wholeRead(flash.open(path, true), 100, 5000);
  flash.submit([read]);
  expect(read.state.i32[0]).toBe(1);
  expect(holds(read, bytes)).toBe(true);
  expect(() => flash.wait(wholeRead(0, 0, 1).state)).toThrow(
    expect.objectContaining({ code: 'flash/request' }),
  );
  flash.close();

  const found = await probe(path, { extentBytes: 8192, budgetMs: 20 });
  expect(found).toMatchObject({ backend: 'pread', direct: false, lanes: 1 });
  expect(found.bytesPerSecond).toBeGreaterThan(0);
});
