import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

/** A directory for the files of one test file; it goes when they are done. */
export function scratch(): {
  path: (name: string) => string;
  write: (name: string, bytes: Uint8Array) => string;
} {
  const directory = mkdtempSync(join(tmpdir(), 'pocketmoe-test-'));
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
