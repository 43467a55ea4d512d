import { PocketMoeError } from '../error.js';

/** Packing could not be done or finished. Codes pack/*. What was packed so far is kept, and packing again continues. */
export class PackError extends PocketMoeError {
  override readonly name: string = 'PackError';
}

/** The output's file system cannot hold the package. Code pack/no-space. */
export class NoSpaceError extends PackError {
  override readonly name = 'NoSpaceError';
  constructor(
    output: string,
    /** Bytes that still have to be written. */
    readonly neededBytes: number,
    /** Bytes that the file system gives to this user. */
    readonly freeBytes: number,
  ) {
    super(
      'pack/no-space',
      `packing to ${output} needs ${neededBytes} more bytes, but ${freeBytes} are free there`,
      `Free ${Math.max(0, neededBytes - freeBytes)} bytes or choose another place, then pack again.`,
    );
  }
}

/** What a failed operation on the output means. `needed` and `free` as in {@link NoSpaceError}. */
export function writeError(
  output: string,
  error: NodeJS.ErrnoException,
  needed: number,
  free: number,
): PackError {
  const { code, message } = error;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new NoSpaceError(output, needed, free);
  if (code === 'EFBIG')
    return new PackError(
      'pack/file-size',
      `a file in ${output} may not grow further: ${message}`,
      'Raise the limit on file sizes (ulimit -f) or use another file system, then pack again.',
    );
  return new PackError(
    'pack/write',
    `writing to ${output} failed: ${message}`,
    'Check the path, its permissions and the storage device, then pack again.',
  );
}
