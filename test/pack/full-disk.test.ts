import { afterAll, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from '../../sdk/pack/pack.js';
import { buildGguf, smallModel } from '../model/gguf-builder.js';
import { scratch } from '../model/scratch.js';
import { bundle } from './bundle.js';

// Registered before the scratch directory's own end, which needs it unmounted.
afterAll(() => void (disk && spawnSync('umount', [disk])));
const { path, write } = scratch();
const { entries, tensors } = smallModel({ layers: 4, experts: 8, inputs: 128, width: 96 });
const source = write('model.gguf', buildGguf(entries, tensors));
const whole = pack(source, path('whole.pocketmoe'));
const disk = smallDisk();

/** A file system of 1 MiB, or null where this user may not mount one. */
function smallDisk(): string | null {
  const directory = path('disk');
  mkdirSync(directory);
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', directory]);
  if (status === 0) return directory;
  console.log('no permission to mount a small disk: a limit on file sizes stands for it');
  return null;
}

async function expectWhole(directory: string): Promise<void> {
  const expected = (await whole).path;
  expect(readdirSync(directory).sort()).toEqual(readdirSync(expected).sort());
  for (const name of readdirSync(directory))
    expect(readFileSync(join(directory, name)).equals(readFileSync(join(expected, name)))).toBe(true);
}

describe('a full disk', () => {
  /** The same with a limit on file sizes, which every user may set; the write then fails in the same place. */
  test('(a limit on file sizes) stops packing with a typed error, and it can be resumed', async () => {
    const program = bundle('test/pack/packing-child.ts', path('child.mjs'));
    const output = path('limited.pocketmoe');
    const { stdout } = spawnSync(
      'bash',
      [
        '-c',
        'trap "" XFSZ; ulimit -f 128; exec "$@"',
        'bash',
        process.execPath,
        program,
        source,
        output,
        'keep',
        '-1',
      ],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(stdout)).toMatchObject({ code: 'pack/file-size' });
    expect(readdirSync(output)).not.toContain('manifest.json');
    expect((await pack(source, output)).resumedBytes).toBeGreaterThan(64 * 1024);
    await expectWhole(output);
  });
});

function onSmallDisk(disk: string): void {
  test('is noticed before anything is written', async () => {
    const large = smallModel({ layers: 1, experts: 8, inputs: 512, width: 512 });
    const file = write('large.gguf', buildGguf(large.entries, large.tensors));
    const error = await pack(file, join(disk, 'large.pocketmoe')).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'pack/no-space' });
    const { neededBytes, freeBytes, message } = error as {
      neededBytes: number;
      freeBytes: number;
      message: string;
    };
    expect(neededBytes).toBeGreaterThan(3 * 8 * 512 * 288);
    expect(freeBytes).toBeLessThanOrEqual(2 ** 20);
    expect(message).toContain(`needs ${neededBytes} more bytes, but ${freeBytes} are free`);
    expect(readdirSync(disk)).toEqual([]);
  });

  test('in the middle is a typed error, and packing continues when there is room', async () => {
    const output = join(disk, 'model.pocketmoe');
    let filled = false;
    const packing = pack(source, output, {
      syncBytes: 32 * 1024,
      onProgress: ({ doneBytes, totalBytes }) => {
        if (filled || doneBytes < totalBytes / 2) return;
        filled = true;
        const { bavail, bsize } = statfsSync(disk);
        try {
          writeFileSync(join(disk, 'filler'), new Uint8Array(bavail * bsize));
        } catch {
          // The packer took some of the room meanwhile; the disk is full all the same.
        }
      },
    });
    await expect(packing).rejects.toMatchObject({ code: 'pack/no-space' });
    await expect(pack(source, output)).rejects.toMatchObject({ code: 'pack/no-space' });
    expect(readdirSync(output)).not.toContain('manifest.json');
    rmSync(join(disk, 'filler'));
    expect((await pack(source, output)).resumedBytes).toBeGreaterThan(0);
    await expectWhole(output);
  });
}
if (disk !== null) describe('a full disk of 1 MiB', () => onSmallDisk(disk));
