import { Memory } from '../../kernels/memory.js';
import { flashLibrary } from './flash-library.js';
import { DIRECT_BLOCK } from './read-request.js';

/**
 * Zeroed memory of JavaScript's own, aligned to 4 KiB, for reads outside of an engine; the collector frees it. Keep
 * the returned object (or a slice of it) until every read into it has ended.
 */
export function alignedMemory(byteLength: number): Memory {
  const whole = new Uint8Array(byteLength + DIRECT_BLOCK);
  // Without the library nothing reads through the address; only its alignment is looked at.
  const base = flashLibrary()?.addressOf(whole) ?? DIRECT_BLOCK;
  const shift = -base & (DIRECT_BLOCK - 1);
  return new Memory(base + shift, byteLength, () => whole.subarray(shift, shift + byteLength));
}
