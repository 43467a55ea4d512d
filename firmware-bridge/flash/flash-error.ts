import { ReadState } from './flash.js';
import { getSystemErrorName } from 'node:util';

/** A read or an open failed. `code` is stable: flash/open, flash/read, flash/short, flash/corrupt, flash/request. */
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
    let name = String(state);
    try {
      name = getSystemErrorName(state);
    } catch {
      // not an errno
    }
    return new FlashError(
      'flash/read',
      `reading ${what} from ${path} failed: ${name}`,
      'Check the storage device (dmesg) and the file.',
    );
  }
}
