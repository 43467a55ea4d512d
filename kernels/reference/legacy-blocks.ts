import type { BlockFormat } from './block-format.js';
import { HALF_VALUES } from './float16.js';

/** ggml's 32-weight blocks with one half-precision scale (and for the _1 types an offset). */

/** Nibbles: byte j holds weight j below and weight j + 16 above. */
function nibbles(bytes: Uint8Array, at: number, ints: Int8Array, i: number, bias: number): void {
  for (let j = 0; j < 16; j++) {
    const byte = bytes[at + j]!;
    ints[i + j] = (byte & 15) - bias;
    ints[i + j + 16] = (byte >> 4) - bias;
  }
}

/** Nibbles whose fifth bits stand in a 32-bit word before them: bit j belongs to weight j. */
function fiveBits(bytes: Uint8Array, at: number, ints: Int8Array, i: number, bias: number): void {
  const high = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  for (let j = 0; j < 16; j++) {
    const byte = bytes[at + 4 + j]!;
    ints[i + j] = ((byte & 15) | (((high >>> j) & 1) << 4)) - bias;
    ints[i + j + 16] = ((byte >> 4) | (((high >>> (j + 16)) & 1) << 4)) - bias;
  }
}

function half(bytes: Uint8Array, at: number): number {
  return HALF_VALUES[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** half d, 16 bytes of nibbles; d · (q - 8). */
export const Q4_0: BlockFormat = {
  blockSize: 32,
  blockBytes: 18,
  subBlock: 32,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    scales[s] = half(bytes, at);
    nibbles(bytes, at + 2, ints, i, 8);
  },
};

/** half d, half m, 16 bytes of nibbles; d · q + m. */
export const Q4_1: BlockFormat = {
  blockSize: 32,
  blockBytes: 20,
  subBlock: 32,
  hasOffsets: true,
  decode(bytes, at, ints, i, scales, offsets, s) {
    scales[s] = half(bytes, at);
    offsets[s] = half(bytes, at + 2);
    nibbles(bytes, at + 4, ints, i, 0);
  },
};

/** half d, 4 bytes of fifth bits, 16 bytes of nibbles; d · (q - 16). */
export const Q5_0: BlockFormat = {
  blockSize: 32,
  blockBytes: 22,
  subBlock: 32,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    scales[s] = half(bytes, at);
    fiveBits(bytes, at + 2, ints, i, 16);
  },
};

/** half d, half m, 4 bytes of fifth bits, 16 bytes of nibbles; d · q + m. */
export const Q5_1: BlockFormat = {
  blockSize: 32,
  blockBytes: 24,
  subBlock: 32,
  hasOffsets: true,
  decode(bytes, at, ints, i, scales, offsets, s) {
    scales[s] = half(bytes, at);
    offsets[s] = half(bytes, at + 2);
    fiveBits(bytes, at + 4, ints, i, 0);
  },
};

/** half d, 32 int8; d · q. */
export const Q8_0: BlockFormat = {
  blockSize: 32,
  blockBytes: 34,
  subBlock: 32,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    scales[s] = half(bytes, at);
    // Storing a byte in an Int8Array reinterprets it as signed.
    for (let j = 0; j < 32; j++) ints[i + j] = bytes[at + 2 + j]!;
  },
};
