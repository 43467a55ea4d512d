import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import { ReadState } from '../../firmware-bridge/flash/flash.js';
import { FlashFolder } from './flash-folder.js';
import { holds, wholeRead } from './reads.js';
import { nativeSubjects, subjects } from './subjects.js';

const folder = new FlashFolder();
afterAll(() => folder.remove());
const { path, bytes } = folder.write('data', 3 * 4096 + 5);

/** Whether this kernel reads this file directly, found without the code under test. */
function readsDirectly(file: string): boolean {
  let fd = -1;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_DIRECT);
    return readSync(fd, alignedMemory(4096).bytes, 0, 4096, 0) > 0;
  } catch {
    return false;
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

describe.each(subjects)('opening, $name', ({ name, direct, start }) => {
  const flash = start(1);
  afterAll(() => flash.close());

  test('a missing file is named, with what to do', () => {
    const missing = join(folder.path, 'missing.gguf');
    expect(() => flash.open(missing, direct)).toThrow(
      expect.objectContaining({
        name: 'FlashError',
        code: 'flash/open',
        message: expect.stringContaining(`${missing} for reading: ENOENT`),
        hint: expect.stringContaining('no such file'),
      }),
    );
  });

  test('a folder, a pipe, a device and a path with NUL are refused', () => {
    const pipe = join(folder.path, `pipe-${name.replace(' ', '-')}`);
    execFileSync('mkfifo', [pipe]);
    for (const wrong of [folder.path, pipe, '/dev/null', `${path}\0x`, ''])
      expect(() => flash.open(wrong, direct)).toThrow(expect.objectContaining({ code: 'flash/open' }));
  });

  test('an empty file opens; reading it is short', () => {
    const empty = join(folder.path, 'empty');
    writeFileSync(empty, '');
    const read = wholeRead(flash.open(empty, direct), 0, 4096);
    flash.submit([read]);
    expect(flash.wait(read.state)).toBe(ReadState.Short);
  });

  test('an unknown file is not direct', () => {
    expect(flash.isDirect(12345)).toBe(false);
    expect(flash.isDirect(-1)).toBe(false);
  });
});

describe.each(nativeSubjects.filter((s) => s.direct))('direct where possible, $name', ({ start }) => {
  test.each([
    ['the temporary folder', folder.path],
    ['memory', '/dev/shm'],
  ])('in %s a file is direct exactly when the kernel reads it so', (_, place) => {
    const home = mkdtempSync(join(existsSync(place) ? place : folder.path, 'pocketmoe-direct-'));
    try {
      const file = join(home, 'data');
      writeFileSync(file, bytes);
      const flash = start(2);
      const handle = flash.open(file, true);
      expect(flash.isDirect(handle)).toBe(readsDirectly(file));
      const read = wholeRead(handle, 0, 4 * 4096, { dataLength: bytes.length });
      flash.submit([read]);
      expect(flash.wait(read.state)).toBe(ReadState.Landed);
      expect(holds(read, bytes)).toBe(true);
      flash.close();
    } finally {
      rmSync(home, { recursive: true });
    }
  });

  test('without direct it is buffered', () => {
    const flash = start(1);
    expect(flash.isDirect(flash.open(path, false))).toBe(false);
    flash.close();
  });
});
