import { FlashError } from './flash-error.js';
import type { FlashRead } from './flash.js';

/** Alignment of a direct file's offsets, lengths and memory, in bytes. */
export const DIRECT_BLOCK = 4096;

/** Most reads that may be queued at once. */
export const MAX_QUEUED = 65_536;
export const MAX_LANES = 64;

/** A file as {@link checkRead} sees it. */
export interface OpenFile {
  readonly path: string;
  readonly direct: boolean;
}

/** Throws FlashError ("flash/request") when a field of the read is impossible. `index` is its place in the call. */
export function checkRead(read: FlashRead, index: number, files: readonly OpenFile[]): void {
  const file = files[read.file];
  if (file === undefined)
    throw refusal(index, `file ${read.file} was never opened`, 'Use a number that open() returned.');
  const { offset, length, dataOffset, dataLength, destination, state } = read;
  const where = (what: string): string => `${what} (${file.path})`;
  if (!(Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length > 0))
    throw refusal(
      index,
      where(`${length} bytes at offset ${offset}`),
      'Offset and length are whole, length at least 1.',
    );
  if (!Number.isSafeInteger(offset + length))
    throw refusal(index, where(`${length} bytes at offset ${offset}`), 'The end must be below 2^53.');
  if (
    !(
      Number.isSafeInteger(dataOffset) &&
      dataOffset >= 0 &&
      Number.isSafeInteger(dataLength) &&
      dataLength > 0
    ) ||
    dataOffset > length - dataLength
  )
    throw refusal(
      index,
      where(`wanted bytes ${dataOffset}+${dataLength} in a read of ${length}`),
      'The wanted bytes must be at least 1 and lie inside the read.',
    );
  if (destination.byteLength < length)
    throw refusal(
      index,
      where(`${length} bytes into memory of ${destination.byteLength}`),
      'Give a destination as long as the read.',
    );
  if (state.byteLength < 4 || state.address % 4 !== 0)
    throw refusal(index, where('a state word that is no aligned int32'), 'Give 4 bytes at a multiple of 4.');
  if (read.priority !== 'demand' && read.priority !== 'prefetch')
    throw refusal(index, where(`priority "${String(read.priority)}"`), 'Known: demand, prefetch.');
  if (
    file.direct &&
    (offset % DIRECT_BLOCK !== 0 || length % DIRECT_BLOCK !== 0 || destination.address % DIRECT_BLOCK !== 0)
  )
    throw refusal(
      index,
      where(`${length} bytes at offset ${offset} into address ${destination.address} of a direct file`),
      'Offset, length and memory of a direct read are multiples of 4096.',
    );
}

/** The error of a call that would queue too much. */
export function tooManyQueued(count: number): FlashError {
  return new FlashError(
    'flash/request',
    `${count} more reads would exceed the ${MAX_QUEUED} that may be queued`,
    'Wait for earlier reads first.',
  );
}

/** Throws FlashError ("flash/request") unless `lanes` is a whole number from 1 to 64. */
export function checkLanes(lanes: number): void {
  if (!Number.isInteger(lanes) || lanes < 1 || lanes > MAX_LANES)
    throw new FlashError(
      'flash/request',
      `${lanes} lanes`,
      `Lanes are a whole number from 1 to ${MAX_LANES}.`,
    );
}

/** The error of a call after close(). */
export function closedFlash(): FlashError {
  return new FlashError('flash/closed', 'flash was closed', 'Open it again.');
}

function refusal(index: number, what: string, hint: string): FlashError {
  return new FlashError('flash/request', `read ${index} of the call is impossible: ${what}`, hint);
}
