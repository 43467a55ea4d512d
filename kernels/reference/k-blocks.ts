import type { BlockFormat } from './block-format.js';
import { HALF_VALUES } from './float16.js';

/** ggml's K types: 256 weights in sub-blocks whose small integer scales share one half-precision scale. */

function half(bytes: Uint8Array, at: number): number {
  return HALF_VALUES[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

/** 16 bytes of 4-bit scales (low) and minima (high), 64 bytes of 2-bit weights, half d, half dmin. */
export const Q2_K: BlockFormat = {
  blockSize: 256,
  blockBytes: 84,
  subBlock: 16,
  hasOffsets: true,
  decode(bytes, at, ints, i, scales, offsets, s) {
    const d = half(bytes, at + 80);
    const dmin = half(bytes, at + 82);
    for (let j = 0; j < 16; j++) {
      const pair = bytes[at + j]!;
      scales[s + j] = d * (pair & 15);
      offsets[s + j] = -(dmin * (pair >> 4));
    }
    // Each half of the block: 32 bytes hold four runs of 32 weights, two bits each.
    for (let h = 0; h < 2; h++)
      for (let l = 0; l < 32; l++) {
        const byte = bytes[at + 16 + h * 32 + l]!;
        const to = i + h * 128 + l;
        ints[to] = byte & 3;
        ints[to + 32] = (byte >> 2) & 3;
        ints[to + 64] = (byte >> 4) & 3;
        ints[to + 96] = byte >> 6;
      }
  },
};

/** 32 bytes of high bits, 64 bytes of low 2 bits, 12 bytes of 6-bit scales less 32, half d; weights less 4. */
export const Q3_K: BlockFormat = {
  blockSize: 256,
  blockBytes: 110,
  subBlock: 16,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    const d = half(bytes, at + 108);
    for (let j = 0; j < 16; j++) {
      const nibble = j < 8 ? bytes[at + 96 + j]! & 15 : bytes[at + 88 + j]! >> 4;
      const high = (bytes[at + 104 + (j & 3)]! >> (2 * (j >> 2))) & 3;
      scales[s + j] = d * ((nibble | (high << 4)) - 32);
    }
    // Bit r of the high bytes belongs to the r-th run of 32 weights.
    for (let r = 0; r < 8; r++) {
      const low = at + 32 + (r >> 2) * 32;
      const shift = 2 * (r & 3);
      for (let l = 0; l < 32; l++)
        ints[i + r * 32 + l] = (((bytes[low + l]! >> shift) & 3) | (((bytes[at + l]! >> r) & 1) << 2)) - 4;
    }
  },
};

/** The 12 bytes of eight 6-bit scales and eight 6-bit minima that Q4_K and Q5_K share. */
function sixBitScales(
  bytes: Uint8Array,
  at: number,
  d: number,
  dmin: number,
  scales: Float64Array,
  offsets: Float64Array,
  s: number,
): void {
  for (let j = 0; j < 4; j++) {
    const a = bytes[at + j]!;
    const b = bytes[at + 4 + j]!;
    const c = bytes[at + 8 + j]!;
    scales[s + j] = d * (a & 63);
    offsets[s + j] = -(dmin * (b & 63));
    scales[s + 4 + j] = d * ((c & 15) | ((a >> 6) << 4));
    offsets[s + 4 + j] = -(dmin * ((c >> 4) | ((b >> 6) << 4)));
  }
}

/** half d, half dmin, 12 bytes of scales, 128 bytes of nibbles: 32 bytes hold two runs of 32 weights. */
export const Q4_K: BlockFormat = {
  blockSize: 256,
  blockBytes: 144,
  subBlock: 32,
  hasOffsets: true,
  decode(bytes, at, ints, i, scales, offsets, s) {
    sixBitScales(bytes, at + 4, half(bytes, at), half(bytes, at + 2), scales, offsets, s);
    for (let c = 0; c < 4; c++) {
      const from = at + 16 + c * 32;
      const to = i + c * 64;
      for (let l = 0; l < 32; l++) {
        const byte = bytes[from + l]!;
        ints[to + l] = byte & 15;
        ints[to + l + 32] = byte >> 4;
      }
    }
  },
};

/** As Q4_K, with 32 bytes of fifth bits before the nibbles: bit r belongs to the r-th run of 32 weights. */
export const Q5_K: BlockFormat = {
  blockSize: 256,
  blockBytes: 176,
  subBlock: 32,
  hasOffsets: true,
  decode(bytes, at, ints, i, scales, offsets, s) {
    sixBitScales(bytes, at + 4, half(bytes, at), half(bytes, at + 2), scales, offsets, s);
    for (let c = 0; c < 4; c++) {
      const from = at + 48 + c * 32;
      const to = i + c * 64;
      for (let l = 0; l < 32; l++) {
        const byte = bytes[from + l]!;
        const high = bytes[at + 16 + l]! >> (2 * c);
        ints[to + l] = (byte & 15) | ((high & 1) << 4);
        ints[to + l + 32] = (byte >> 4) | ((high & 2) << 3);
      }
    }
  },
};

/** 128 bytes of low nibbles, 64 bytes of high 2 bits, 16 int8 scales, half d; weights less 32. */
export const Q6_K: BlockFormat = {
  blockSize: 256,
  blockBytes: 210,
  subBlock: 16,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    const d = half(bytes, at + 208);
    for (let j = 0; j < 16; j++) scales[s + j] = d * ((bytes[at + 192 + j]! << 24) >> 24);
    for (let h = 0; h < 2; h++)
      for (let l = 0; l < 32; l++) {
        const a = bytes[at + h * 64 + l]!;
        const b = bytes[at + h * 64 + 32 + l]!;
        const high = bytes[at + 128 + h * 32 + l]!;
        const to = i + h * 128 + l;
        ints[to] = ((a & 15) | ((high & 3) << 4)) - 32;
        ints[to + 32] = ((b & 15) | ((high & 12) << 2)) - 32;
        ints[to + 64] = ((a >> 4) | (high & 48)) - 32;
        ints[to + 96] = ((b >> 4) | ((high & 192) >> 2)) - 32;
      }
  },
};
