import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import type { FlashRead } from '../../firmware-bridge/flash/flash.js';
import type { Memory } from '../../kernels/memory.js';

/** A read of [offset, offset + length) into memory of its own, with everything else at its plainest. */
export function wholeRead(
  file: number,
  offset: number,
  length: number,
  change: Partial<FlashRead> = {},
): FlashRead {
  return {
    file,
    offset,
    length,
    destination: alignedMemory(length),
    dataOffset: 0,
    dataLength: length,
    crc32c: null,
    state: stateWord(),
    priority: 'demand',
    ...change,
  };
}

export function stateWord(): Memory {
  return alignedMemory(4);
}

/** The bytes that a read wanted. */
export function wantedBytes(read: FlashRead): Uint8Array {
  return read.destination.bytes.subarray(read.dataOffset, read.dataOffset + read.dataLength);
}

/** True when the wanted bytes are those of the file. */
export function holds(read: FlashRead, file: Uint8Array): boolean {
  const at = read.offset + read.dataOffset;
  return Buffer.compare(wantedBytes(read), file.subarray(at, at + read.dataLength)) === 0;
}
