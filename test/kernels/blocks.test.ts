import { describe, expect, test } from '@jest/globals';
import { dequantiseRow } from '../../kernels/reference/dequantise.js';
import { WEIGHT_TYPES, WeightType } from '../../kernels/weight-type.js';

/**
 * Blocks made by hand from the formats' definitions. Halves used: 0x3c00 = 1, 0x3800 = 0.5, 0xc000 = -2.
 * Bytes not named are zero; `weights` names some of the block's weights, `others` what all the rest are.
 */
interface Golden {
  readonly type: number;
  readonly bytes: Readonly<Record<number, number>>;
  readonly weights: Readonly<Record<number, number>>;
  readonly others: (i: number) => number;
}

const GOLDEN: readonly Golden[] = [
  {
    // d = 0.5; byte 0: weight 0 = 0.5·(3 - 8), weight 16 = 0.5·(15 - 8).
    type: WeightType.Q4_0,
    bytes: { 1: 0x38, 2: 0xf3, 17: 0x81 },
    weights: { 0: -2.5, 16: 3.5, 15: -3.5, 31: 0 },
    others: () => -4,
  },
  {
    // d = 0.5, m = -2.
    type: WeightType.Q4_1,
    bytes: { 1: 0x38, 3: 0xc0, 4: 0xf3, 19: 0x81 },
    weights: { 0: -0.5, 16: 5.5, 15: -1.5, 31: 2 },
    others: () => -2,
  },
  {
    // d = 0.5; fifth bits of weights 1, 16 and 31: word 0x80010002.
    type: WeightType.Q5_0,
    bytes: { 1: 0x38, 2: 0x02, 3: 0x00, 4: 0x01, 5: 0x80, 6: 0xf3, 7: 0x04, 21: 0x20 },
    weights: { 0: -6.5, 1: 2, 16: 7.5, 31: 1 },
    others: () => -8,
  },
  {
    // d = 0.5, m = -2, the same integers.
    type: WeightType.Q5_1,
    bytes: { 1: 0x38, 3: 0xc0, 4: 0x02, 5: 0x00, 6: 0x01, 7: 0x80, 8: 0xf3, 9: 0x04, 23: 0x20 },
    weights: { 0: -0.5, 1: 8, 16: 13.5, 31: 7 },
    others: () => -2,
  },
  {
    // d = -2; integers 127, -128, -1.
    type: WeightType.Q8_0,
    bytes: { 1: 0xc0, 2: 127, 3: 128, 33: 255 },
    weights: { 0: -254, 1: 256, 31: 2 },
    others: () => -0,
  },
  {
    // d = 0.5, dmin = 1. Scale/min bytes: sub-block 0 scale 3 min 2; 1: 15, 0; 2: 1, 0; 8: 2, 15; 15: 4, 1.
    // Byte 16 = 0b11100100: weights 0, 32, 64, 96 are 0, 1, 2, 3; byte 32 (l = 16): weight 16 is 3.
    // Byte 48 (second half, l = 0): weight 128 is 2. Byte 79 (l = 31): weight 255 is 3.
    type: WeightType.Q2_K,
    bytes: {
      0: 0x23,
      1: 0x0f,
      2: 0x01,
      8: 0xf2,
      15: 0x14,
      16: 0xe4,
      32: 3,
      48: 2,
      79: 0xc0,
      81: 0x38,
      83: 0x3c,
    },
    weights: { 16: 22.5, 32: 0.5, 128: -13, 255: 5 },
    others: (i) => (i < 16 ? -2 : i >= 128 && i < 144 ? -15 : i >= 240 ? -1 : 0),
  },
  {
    // d = 1. Scales are 6 bits less 32. Sub-block 0: low 5, high 3 → 53 - 32 = 21. Sub-block 8: low 2 (high nibble of
    // byte 96), high 0 → -30. Sub-block 4: high bits from byte 104 >> 2 = 2 → 32 - 32 = 0. Sub-block 12: byte 104 >> 6
    // = 1 → 16 - 32 = -16. Sub-blocks whose bits are all zero have scale -32.
    // High bits: byte 0 = 0b00010001: weights 0 and 128 are not lowered by 4. Low bits: byte 32: weight 0 is 3.
    type: WeightType.Q3_K,
    bytes: { 0: 0x11, 32: 0x03, 64: 0x01, 96: 0x25, 104: 0b01001011, 109: 0x3c },
    weights: { 0: 63, 128: -30 },
    others: (i) => {
      const scale = [21, -32, -32, -32, 0, -32, -32, -32, -30, -32, -32, -32, -16, -32, -32, -32][i >> 4]!;
      return scale * -4;
    },
  },
  {
    // d = 1, dmin = 0.5. Byte 4: sub-block 0 scale 3, top bits of scale 4 = 3. Byte 8: min 0 = 7, top bits of min 4 =
    // 2. Byte 12: scale 4 = 5 | 48 = 53, min 4 = 2 | 32 = 34. Byte 7: scale 3 = 1, byte 15: min 7 = 15.
    type: WeightType.Q4_K,
    bytes: { 1: 0x3c, 3: 0x38, 4: 0xc3, 7: 0x01, 8: 0x87, 12: 0x25, 15: 0xf0, 16: 0x0f, 48: 0x20, 80: 0x01 },
    weights: { 0: 41.5, 96: 2, 128: 36 },
    others: (i) => (i < 32 ? -3.5 : i >= 128 && i < 160 ? -17 : i >= 224 ? -7.5 : 0),
  },
  {
    // The same scales; fifth bits: byte 16 = 0b00010001: weights 0 and 128 gain 16; byte 47 bit 3: weight 127.
    type: WeightType.Q5_K,
    bytes: {
      1: 0x3c,
      3: 0x38,
      4: 0xc3,
      7: 0x01,
      8: 0x87,
      12: 0x25,
      15: 0xf0,
      16: 0x11,
      47: 0x08,
      48: 0x0f,
      80: 0x20,
      112: 0x01,
    },
    weights: { 0: 89.5, 96: 2, 127: 16, 128: 884 },
    others: (i) => (i < 32 ? -3.5 : i >= 128 && i < 160 ? -17 : i >= 224 ? -7.5 : 0),
  },
  {
    // d = 0.5. Scales: sub-block 0 = 2, 2 = -1, 4 = 127, 6 = -128, 15 = 4. Low nibbles: byte 0 = 0xa5: weight 0 low 5,
    // weight 64 low 10; byte 32 = 0x3c: weight 32 low 12, weight 96 low 3. High bits: byte 128 = 0b11100100:
    // weights 0, 32, 64, 96 have 0, 1, 2, 3. Weight 255: low nibble of byte 127 high half = 15, bits of byte 191 = 3.
    type: WeightType.Q6_K,
    bytes: {
      0: 0xa5,
      32: 0x3c,
      127: 0xf0,
      128: 0xe4,
      191: 0xc0,
      192: 2,
      194: 255,
      196: 127,
      198: 128,
      207: 4,
      209: 0x38,
    },
    weights: { 0: -27, 32: 2, 64: 635, 96: -1216, 255: 62 },
    others: (i) => -16 * ([2, 0, -1, 0, 127, 0, -128, 0, 0, 0, 0, 0, 0, 0, 0, 4][i >> 4]! || 0),
  },
  {
    // d = 0.5; index 0 is the level -127, 15 is 113, 8 is 1, 7 is -10.
    type: WeightType.IQ4_NL,
    bytes: { 1: 0x38, 2: 0x8f, 17: 0x70 },
    weights: { 0: 56.5, 16: 0.5, 31: -5 },
    others: () => -63.5,
  },
  {
    // Exponent 128: scale 2. Index 7 is 6, 9 is -0.5, 15 is -6, 8 is zero.
    type: WeightType.MXFP4,
    bytes: { 0: 128, 1: 0x97, 16: 0x8f },
    weights: { 0: 12, 16: -1, 15: -12, 31: 0 },
    others: () => 0,
  },
  { type: WeightType.F16, bytes: { 1: 0xc0 }, weights: { 0: -2 }, others: () => 0 },
  { type: WeightType.BF16, bytes: { 0: 0x40, 1: 0xc0 }, weights: { 0: -3 }, others: () => 0 },
  { type: WeightType.F32, bytes: { 2: 0x40, 3: 0xc0 }, weights: { 0: -3 }, others: () => 0 },
];

describe('blocks made by hand', () => {
  for (const { type, bytes, weights, others } of GOLDEN) {
    const { name, blockSize, blockBytes } = WEIGHT_TYPES.get(type)!;
    test(name, () => {
      // The block stands second, so that a wrong block size shows.
      const row = new Uint8Array(2 * blockBytes);
      for (const [at, byte] of Object.entries(bytes)) row[blockBytes + Number(at)] = byte;
      const out = new Float32Array(2 * blockSize);
      dequantiseRow(type, row, 2 * blockSize, out);
      for (let i = 0; i < blockSize; i++) {
        const expected = weights[i] ?? others(i);
        expect([i, out[blockSize + i]! + 0]).toEqual([i, expected + 0]);
      }
    });
  }

  test('every weight type has one', () => {
    expect(new Set(GOLDEN.map((g) => g.type))).toEqual(new Set(WEIGHT_TYPES.keys()));
  });

  test('what is no row is refused', () => {
    const out = new Float32Array(256);
    expect(() => dequantiseRow(WeightType.Q4_K, new Uint8Array(143), 256, out)).toThrow('144 bytes');
    expect(() => dequantiseRow(WeightType.Q4_K, new Uint8Array(144), 128, out)).toThrow(RangeError);
    expect(() => dequantiseRow(WeightType.Q8_0, new Uint8Array(340), 320, out)).toThrow('256 floats');
    expect(() => dequantiseRow(5, new Uint8Array(340), 32, out)).toThrow('not known');
  });
});
