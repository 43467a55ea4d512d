import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import koffi from 'koffi';
import { quantiseQ8Block, quantiseQ8KBlock } from '../../kernels/reference/activation-quantisation.js';
import { dequantiseRow } from '../../kernels/reference/dequantise.js';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../kernels/reference/float16.js';
import { quantiseRow } from '../../kernels/reference/quantise.js';
import { WeightType, rowBytes } from '../../kernels/weight-type.js';
import { rootMeanSquareError } from './closeness.js';
import { ALL_TYPES, Random, randomWeights, typeName } from './random.js';

/** The block formats against llama.cpp's own code: its ggml-base library, prebuilt on npm. */
const library = fileURLToPath(
  new URL('../../node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so', import.meta.url),
);
const ggml = koffi.load(library);

type RowFunction = (from: unknown, to: unknown, n: number) => void;

function rowFunction(name: string): RowFunction {
  return ggml.func(`void ${name}(const void *x, void *y, int64_t k)`) as unknown as RowFunction;
}

const DEQUANTISERS: ReadonlyMap<number, string> = new Map(
  ALL_TYPES.filter((type) => type !== WeightType.F32).map((type) => {
    if (type === WeightType.F16) return [type, 'ggml_fp16_to_fp32_row'];
    if (type === WeightType.BF16) return [type, 'ggml_bf16_to_fp32_row'];
    return [type, `dequantize_row_${typeName(type).toLowerCase().replace('_k', '_K')}`];
  }),
);

/** Index of the first element whose bits differ, or -1. */
function firstDifference(a: Float32Array, b: Float32Array): number {
  const bits = new Uint32Array(b.buffer, b.byteOffset, b.length);
  return new Uint32Array(a.buffer, a.byteOffset, a.length).findIndex((v, i) => v !== bits[i]);
}

describe('dequantisation equals ggml bit for bit', () => {
  for (const [type, name] of DEQUANTISERS)
    test(typeName(type), () => {
      const outside = rowFunction(name);
      const random = new Random(type);
      const cols = 256 * 40;
      for (const scale of [1, 1e-3, 50]) {
        const bytes = randomWeights(random, type, 1, cols, scale);
        const mine = new Float32Array(cols);
        const theirs = new Float32Array(cols);
        dequantiseRow(type, bytes, cols, mine);
        outside(bytes, theirs, cols);
        expect(mine.filter((v) => v !== 0).length).toBeGreaterThan(cols / 2);
        expect(firstDifference(mine, theirs)).toBe(-1);
      }
    });

  test('F32 is copied', () => {
    const x = new Random(1).floats(7);
    const out = new Float32Array(7);
    dequantiseRow(WeightType.F32, new Uint8Array(x.buffer), 7, out);
    expect(firstDifference(out, x)).toBe(-1);
  });

  test('every exponent of MXFP4, denormal results included', () => {
    const bytes = new Uint8Array(256 * 17);
    // Exponent 255 is NaN in the microscaling standard, 2^127 (halved) in ggml; both sides follow ggml.
    for (let e = 0; e < 256; e++) for (let j = 0; j < 17; j++) bytes[e * 17 + j] = j === 0 ? e : (j - 1) * 17;
    const mine = new Float32Array(256 * 32);
    const theirs = new Float32Array(256 * 32);
    dequantiseRow(WeightType.MXFP4, bytes, 256 * 32, mine);
    rowFunction('dequantize_row_mxfp4')(bytes, theirs, 256 * 32);
    expect(firstDifference(mine, theirs)).toBe(-1);
  });
});

describe('16-bit floats equal ggml', () => {
  test('every half and every bfloat16 to float32', () => {
    // NaN patterns are left out: their payload is nobody's promise.
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    for (const [name, value] of [
      ['ggml_fp16_to_fp32_row', f16ToF32],
      ['ggml_bf16_to_fp32_row', bf16ToF32],
    ] as const) {
      const theirs = new Float32Array(65536);
      rowFunction(name)(bits, theirs, 65536);
      const wrong = theirs.findIndex((v, i) => !Object.is(v, value(i)));
      expect(wrong).toBe(-1);
    }
  });

  test('float32 to half and bfloat16, ties, overflow and denormals included', () => {
    const random = new Random(2);
    const x = new Float32Array(60000);
    const bits = new Uint32Array(x.buffer);
    for (let i = 0; i < x.length; i++) {
      // Random sign, exponent and fraction; every third a tie of one of the two formats.
      bits[i] = random.bits();
      if (i % 3 === 1) bits[i] = (bits[i]! & 0xffffe000) | 0x1000;
      if (i % 3 === 2) bits[i] = (bits[i]! & 0xffff0000) | 0x8000;
      // Half of them in the range of halves, denormal halves included.
      if (i % 2 === 0) bits[i] = (bits[i]! & 0x807fffff) | ((102 + random.below(42)) << 23);
      if (Number.isNaN(x[i]!)) x[i] = Infinity;
    }
    for (const [name, toBits] of [
      ['ggml_fp32_to_fp16_row', f32ToF16],
      ['ggml_fp32_to_bf16_row_ref', f32ToBf16],
    ] as const) {
      const theirs = new Uint16Array(x.length);
      rowFunction(name)(x, theirs, x.length);
      const wrong = theirs.findIndex((v, i) => v !== toBits(x[i]!));
      expect(wrong).toBe(-1);
    }
    expect(Number.isNaN(f16ToF32(f32ToF16(NaN)))).toBe(true);
    expect(Number.isNaN(bf16ToF32(f32ToBf16(NaN)))).toBe(true);
  });
});

describe('activations are rounded as in ggml', () => {
  test('256-blocks: same scale, same integers', () => {
    const random = new Random(3);
    const outside = rowFunction('quantize_row_q8_K_ref');
    for (let n = 0; n < 60; n++) {
      const x = random.floats(256, 10 ** (random.below(13) - 6));
      if (n === 0) x.fill(0);
      if (n === 1) x.fill(-3);
      if (n === 2) x.forEach((_, i) => (x[i] = (i - 127) / 2));
      const theirs = new Uint8Array(292);
      outside(x, theirs, 256);
      const ints = new Int8Array(256);
      const scale = quantiseQ8KBlock(x, 0, ints, 0);
      expect(scale).toBe(new DataView(theirs.buffer).getFloat32(0, true));
      expect([...ints]).toEqual([...new Int8Array(theirs.buffer, 4, 256)]);
    }
  });

  test('32-blocks: same scale, integers equal but for ties', () => {
    const random = new Random(4);
    const outside = rowFunction('quantize_row_q8_0_ref');
    let differences = 0;
    for (let n = 0; n < 300; n++) {
      const x = random.floats(32, 10 ** (random.below(9) - 4));
      if (n === 0) x.fill(0);
      const theirs = new Uint8Array(34);
      outside(x, theirs, 32);
      const ints = new Int8Array(32);
      const scale = quantiseQ8Block(x, 0, ints, 0);
      expect(scale).toBe(f16ToF32(theirs[0]! | (theirs[1]! << 8)));
      new Int8Array(theirs.buffer, 2, 32).forEach((v, i) => {
        expect(Math.abs(v - ints[i]!)).toBeLessThanOrEqual(1);
        if (v !== ints[i]) differences++;
      });
    }
    // ggml's plain code multiplies by 1 / (amax / 127), its vector code and ours by 127 / amax: the last bit of the
    // factor may differ, and with it an integer whose fraction is within 1e-5 of one half.
    expect(differences).toBeLessThanOrEqual(3);
  });
});

describe('quantisers', () => {
  /** ggml's own search for the best scales against ours from the range: how much more error ours may have. */
  const MORE_ERROR = 1.5;
  const chunk = ggml.func(
    'size_t ggml_quantize_chunk(int type, const float *src, void *dst, int64_t start, int64_t rows, int64_t cols, const float *weights)',
  ) as unknown as (...args: unknown[]) => number;

  for (const type of ALL_TYPES)
    test(typeName(type), () => {
      const cols = 256 * 16;
      const x = new Random(type + 50).floats(cols, 0.03);
      const bytes = new Uint8Array(rowBytes(type, cols));
      const out = new Float32Array(cols);
      quantiseRow(type, x, bytes);
      dequantiseRow(type, bytes, cols, out);
      const mine = rootMeanSquareError(out, x);
      if (type === WeightType.F32) {
        expect(mine).toBe(0);
        return;
      }
      expect(chunk(type, x, bytes, 0, 1, cols, null)).toBe(bytes.length);
      dequantiseRow(type, bytes, cols, out);
      expect(mine).toBeLessThanOrEqual(MORE_ERROR * rootMeanSquareError(out, x));
    });

  test('zeros stay zeros, extremes of either sign are kept', () => {
    for (const type of ALL_TYPES)
      for (const value of [0, 1, -1]) {
        const x = new Float32Array(256);
        x[100] = value;
        const bytes = new Uint8Array(rowBytes(type, 256)).fill(255);
        const out = new Float32Array(256);
        quantiseRow(type, x, bytes);
        dequantiseRow(type, bytes, 256, out);
        expect(out[100]).toBeCloseTo(value, 1);
        // IQ4_NL has no level at zero: the nearest is 1/127 of the extreme. Types with offsets have their scale
        // and offset rounded to halves apart from each other.
        const nearZero = type === WeightType.IQ4_NL ? 1.01 / 127 : 1e-3;
        expect(Math.max(...out.map((v, i) => (i === 100 ? 0 : Math.abs(v))))).toBeLessThanOrEqual(nearZero);
      }
  });

  test('what cannot be rounded is refused', () => {
    const bytes = new Uint8Array(144);
    expect(() => quantiseRow(WeightType.Q4_K, new Float32Array(256).fill(NaN), bytes)).toThrow(RangeError);
    expect(() => quantiseRow(WeightType.Q4_0, new Float32Array(32).fill(1e30), bytes)).toThrow(RangeError);
    expect(() => quantiseRow(WeightType.Q4_0, new Float32Array(31), bytes)).toThrow(RangeError);
    expect(() => quantiseRow(WeightType.Q4_K, new Float32Array(512), bytes)).toThrow(RangeError);
    expect(() => quantiseRow(99, new Float32Array(32), bytes)).toThrow(RangeError);
  });
});
