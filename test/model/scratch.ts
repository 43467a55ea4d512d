import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

/** A directory for the files of one test file; it goes when they are done. */
export function scratch(parent = tmpdir()): {
  path: (name: string) => string;
  write: (name: string, bytes: Uint8Array) => string;
} {
  const directory = mkdtempSync(join(parent, 'pocketmoe-test-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string): string => join(directory, name);
  return {
    path,
    write: (name, bytes) => {
      writeFileSync(path(name), bytes);
      return path(name);
    },
  };
}

/** A file system in memory where there is one with room, for tests that sync often; else the usual place. */
export function fastDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > 2 ** 28 ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}
