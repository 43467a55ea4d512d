import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { ModelFormatError } from '../error.js';

/** Bytes that can be read at a position: a file, or bytes in memory. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  /** Bytes in total. */
  readonly size: number;
  /** Fills `target` from `position`. Throws ModelFormatError when the bytes are not there. */
  read(position: number, target: Uint8Array): void;
}

/** A regular file, read with pread. Close it. */
export class FileSource implements ByteSource {
  readonly size: number;
  /** Changes whenever the file is written or replaced: device, inode, size and nanosecond times. */
  readonly stamp: string;
  private readonly fd: number;

  constructor(readonly name: string) {
    try {
      // Looked at before it is opened: opening a FIFO would block for ever.
      if (!statSync(name).isFile())
        throw new ModelFormatError(
          'model/open',
          `${name} is not a regular file`,
          'Give the path of a GGUF file.',
        );
      this.fd = openSync(name, 'r');
    } catch (error) {
      if (error instanceof ModelFormatError) throw error;
      throw openError(name, error);
    }
    const stat = fstatSync(this.fd, { bigint: true });
    this.size = Number(stat.size);
    this.stamp = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':');
  }

  read(position: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      let count: number;
      try {
        count = readSync(this.fd, target, done, target.length - done, position + done);
      } catch (error) {
        throw new ModelFormatError(
          'model/read',
          `reading ${this.name} at byte ${position + done} failed: ${(error as Error).message}`,
          'Check the storage device (dmesg) and the file.',
        );
      }
      if (count === 0) throw truncated(this.name, position + done);
      done += count;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Bytes in memory, such as the metadata of a package. */
export class MemorySource implements ByteSource {
  readonly size: number;
  constructor(
    readonly name: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.length;
  }

  read(position: number, target: Uint8Array): void {
    if (position + target.length > this.bytes.length) throw truncated(this.name, this.bytes.length);
    target.set(this.bytes.subarray(position, position + target.length));
  }
}

/** The error of a path that cannot be opened. */
export function openError(path: string, error: unknown): ModelFormatError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new ModelFormatError(
      'model/open',
      `${path} does not exist`,
      'Give the path of a GGUF file or a package.',
    );
  return new ModelFormatError(
    'model/open',
    `${path} cannot be opened: ${(error as Error).message}`,
    'Check the path and its permissions.',
  );
}

function truncated(name: string, at: number): ModelFormatError {
  return new ModelFormatError(
    'model/truncated',
    `${name} ends at byte ${at}, in the middle of its data`,
    'Copy or download the file again.',
  );
}
