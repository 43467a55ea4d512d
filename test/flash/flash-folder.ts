import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seeded } from './random.js';

/** A temporary folder with files of known bytes. */
export class FlashFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'pocketmoe-flash-'));

  /** Writes pseudo-random bytes to a file and returns them. */
  write(name: string, byteLength: number, seed = 1): { path: string; bytes: Uint8Array } {
    const next = seeded(seed);
    const words = new Uint32Array(Math.ceil(byteLength / 4));
    for (let i = 0; i < words.length; i++) words[i] = next(2 ** 32);
    const bytes = new Uint8Array(words.buffer, 0, byteLength);
    const path = join(this.path, name);
    writeFileSync(path, bytes);
    return { path, bytes };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
