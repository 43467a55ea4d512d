import { closeSync, constants, opendirSync, openSync, readSync } from 'node:fs';

/** Attributes of sysfs are at most a page. */
const LARGEST = 4096;
/** Directory entries looked at, and names returned: far above any board, so a strange folder costs little. */
const MOST_ENTRIES = 4096;
const MOST_NAMES = 64;

/**
 * The files in which a kernel tells about its board (sysfs, procfs), under a root folder; a folder with the same files
 * simulates a board. What cannot be read, is too long or has another form than asked is null, never an error: a sensor
 * that disappears must not disturb what it watches.
 */
export class Board {
  readonly #buffer = Buffer.allocUnsafe(LARGEST);
  readonly #root: string;

  /** @param root "/" for this machine */
  constructor(root: string) {
    this.#root = root.replace(/\/+$/, '');
  }

  /** A file's text without surrounding white space, or null. `path` is relative to the root. */
  text(path: string): string | null {
    let file: number;
    try {
      // O_NONBLOCK: a pipe in a simulated board does not stop the reader
      file = openSync(this.#at(path), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return null;
    }
    try {
      const length = readSync(file, this.#buffer, 0, LARGEST, 0);
      return length === 0 || length === LARGEST ? null : this.#buffer.toString('latin1', 0, length).trim();
    } catch {
      return null; // a sensor that is asleep, or just unplugged
    } finally {
      closeSync(file);
    }
  }

  /** A decimal whole number within [low, high], or null. */
  integer(path: string, low: number, high: number): number | null {
    const text = this.text(path);
    if (text === null || !/^-?\d{1,15}$/.test(text)) return null;
    const value = Number(text);
    return value >= low && value <= high ? value : null;
  }

  /** A name for people: printable ASCII of at most 64 characters, or null. */
  label(path: string): string | null {
    const text = this.text(path);
    return text !== null && /^[\x20-\x7e]{1,64}$/.test(text) ? text : null;
  }

  /** Names in a folder that match, in numerical order. A folder that cannot be read is empty. */
  names(folder: string, pattern: RegExp): string[] {
    const names: string[] = [];
    try {
      const entries = opendirSync(this.#at(folder));
      try {
        for (let i = 0; i < MOST_ENTRIES && names.length < MOST_NAMES; i++) {
          const entry = entries.readSync();
          if (!entry) break;
          if (entry.name.length <= 64 && pattern.test(entry.name)) names.push(entry.name);
        }
      } finally {
        entries.closeSync();
      }
    } catch {
      // not there
    }
    return names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  }

  /** Not path.join: ".." after a link means the folder above the link's target, as the kernel sees it. */
  #at(path: string): string {
    return `${this.#root}/${path}`;
  }
}
