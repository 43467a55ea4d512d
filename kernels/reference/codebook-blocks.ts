import type { BlockFormat } from './block-format.js';
import { HALF_VALUES } from './float16.js';

/** ggml's 32-weight blocks whose nibbles index a table of integers: byte j holds weight j below, j + 16 above. */

/** The sixteen levels of IQ4_NL. */
export const IQ4_NL_LEVELS = new Int8Array([
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]);

/** The sixteen FP4 (E2M1) values, doubled to be integers. */
export const FP4_DOUBLED = new Int8Array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);

/** half of 2^(e - 127), because the table is doubled; indexed by the exponent byte. */
const E8M0_HALVED = Float64Array.from({ length: 256 }, (_, e) => 2 ** (e - 128));

function lookUp(table: Int8Array, bytes: Uint8Array, at: number, ints: Int8Array, i: number): void {
  for (let j = 0; j < 16; j++) {
    const byte = bytes[at + j]!;
    ints[i + j] = table[byte & 15]!;
    ints[i + j + 16] = table[byte >> 4]!;
  }
}

/** half d, 16 bytes of indices; d · level. */
export const IQ4_NL: BlockFormat = {
  blockSize: 32,
  blockBytes: 18,
  subBlock: 32,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    scales[s] = HALF_VALUES[bytes[at]! | (bytes[at + 1]! << 8)]!;
    lookUp(IQ4_NL_LEVELS, bytes, at + 2, ints, i);
  },
};

/** One exponent byte (E8M0), 16 bytes of FP4 values (OCP microscaling format). */
export const MXFP4: BlockFormat = {
  blockSize: 32,
  blockBytes: 17,
  subBlock: 32,
  hasOffsets: false,
  decode(bytes, at, ints, i, scales, _offsets, s) {
    scales[s] = E8M0_HALVED[bytes[at]!]!;
    lookUp(FP4_DOUBLED, bytes, at + 1, ints, i);
  },
};
