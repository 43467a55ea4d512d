import { readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';

/** The kernel's read-ahead for mapped files of one device: what a peer that maps its model is tuned with. */
export class ReadAhead {
  readonly #path: string;

  constructor(file: string) {
    const { dev } = statSync(file);
    // glibc's split of a device number; numbers beyond 32 bits do not occur
    const major = (dev >>> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
    let path = `/sys/class/bdi/${major}:${minor}/read_ahead_kb`;
    try {
      path = realpathSync(path);
    } catch {
      // get() says so
    }
    this.#path = path;
  }

  /** KiB, or null where it cannot be read. */
  get(): number | null {
    try {
      return Number(readFileSync(this.#path, 'utf8'));
    } catch {
      return null;
    }
  }

  /** False where it may not be set. */
  set(kib: number): boolean {
    try {
      writeFileSync(this.#path, String(kib));
      return true;
    } catch {
      return false;
    }
  }
}
