import { ReadState } from './flash.js';
import { getSystemErrorName } from 'node:util';

/**
 * A read or an open failed. `code` is stable: flash/open, flash/read, flash/short, flash/corrupt, flash/cancelled,
 * flash/request (an impossible request), flash/closed.
 */
export class FlashError extends Error {
  override readonly name = 'FlashError';
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }

  /** The error that a failed state word stands for. `what` names the data, e.g. "expert 3 of layer 2". */
  static fromState(state: number, what: string, path: string): FlashError {
    if (state === ReadState.Short)
      return new FlashError(
        'flash/short',
        `${path} ends before ${what}: the file was truncated`,
        'Copy or download the file again.',
      );
    if (state === ReadState.Corrupt)
      return new FlashError(
        'flash/corrupt',
        `${what} in ${path} does not match its checksum`,
        'Run `pocketmoe inspect MODEL --verify`, then restore or repack the file.',
      );
    if (state === ReadState.Cancelled)
      return new FlashError(
        'flash/cancelled',
        `reading ${what} from ${path} was cancelled`,
        'Ask for it again.',
      );
    return new FlashError(
      'flash/read',
      `reading ${what} from ${path} failed: ${errorName(state)}`,
      'Check the storage device (dmesg) and the file.',
    );
  }

  /** The error of an open that ended with -errno. */
  static fromOpen(errno: number, path: string): FlashError {
    const name = errorName(errno);
    return new FlashError(
      'flash/open',
      `cannot open ${path} for reading: ${name}`,
      OPEN_HINTS[name] ?? OPEN_HINT,
    );
  }
}

const OPEN_HINT = 'Give a readable file on a local file system.';
const OPEN_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'Check the path: there is no such file.',
  EACCES: 'Give this user the right to read the file and to enter its folder.',
  EISDIR: 'Give a file; this is a folder.',
  EINVAL: 'Give a regular file or a block device.',
  EMFILE: 'Close files, or raise the limit (ulimit -n).',
};

/** "EIO" for -5; the number itself when the system has no name for it. */
function errorName(errno: number): string {
  try {
    return getSystemErrorName(errno);
  } catch {
    return String(errno);
  }
}
