import { afterAll, describe, expect, test } from '@jest/globals';
import type { Matrix } from '../../kernels/kernels.js';
import { BLOCK_FORMATS } from '../../kernels/reference/block-formats.js';
import { dequantiseRow } from '../../kernels/reference/dequantise.js';
import { f32ToF16 } from '../../kernels/reference/float16.js';
import { WEIGHT_TYPES, WeightType, rowBytes } from '../../kernels/weight-type.js';
import { rootMeanSquareError } from './closeness.js';
import { SideBySide, differences } from './compare.js';
import { ALL_TYPES, Random, randomWeights, typeName } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

/**
 * Relative to the size of the terms that are added up. The integers are the same on both sides, so what is left is
 * float32 summation (2^-24 each step, a few dozen steps in each of the vector's lanes) against double precision.
 */
const TOLERANCE = 1e-6;

const SIZES = [1, 2, 3, 5, 8, 17];
/** Blocks per row; cols per row for the types without blocks. */
const BLOCKS = [1, 2, 3, 4, 5, 7];
const COLS = [1, 7, 31, 33, 100, 1027];

/** Root mean square of the sums that terms this large give when their signs are random. */
function termSize(type: number, weights: Uint8Array, cols: number, x: Float32Array): number {
  const count = (weights.length / rowBytes(type, cols)) * cols;
  const w = new Float32Array(count);
  dequantiseRow(type, weights, count, w);
  const zeros = new Float32Array(Math.max(count, x.length));
  return rootMeanSquareError(w, zeros) * rootMeanSquareError(x, zeros) * Math.sqrt(cols);
}

interface Case {
  readonly type: number;
  readonly rows: number;
  readonly cols: number;
  readonly tokens: number;
  readonly weights: Uint8Array;
  /** Rows of cols + 3 floats; the three between rows must not be read into the result. */
  readonly x: Float32Array;
  readonly offset: number;
}

function run({ type, rows, cols, tokens, weights, x, offset }: Case) {
  const guard = 123.5;
  const outStride = rows + 2;
  const strided = new Float32Array(tokens * (cols + 3)).fill(NaN);
  for (let t = 0; t < tokens; t++) strided.set(x.subarray(t * cols, (t + 1) * cols), t * (cols + 3));
  return libraries.both((desk) => {
    const out = desk.floats(new Float32Array(tokens * outStride).fill(guard));
    desk.kernels.linear(
      desk.matrix(type, cols, weights, offset),
      desk.floats(strided),
      cols + 3,
      out,
      outStride,
      tokens,
    );
    const result = new Float32Array(tokens * rows);
    for (let t = 0; t < tokens; t++) {
      result.set(out.f32.subarray(t * outStride, t * outStride + rows), t * rows);
      expect([...out.f32.subarray(t * outStride + rows, (t + 1) * outStride)]).toEqual([guard, guard]);
    }
    return result;
  });
}

describe('linear: native equals the reference', () => {
  for (const type of ALL_TYPES) {
    const { blockSize } = WEIGHT_TYPES.get(type)!;

    test(`${typeName(type)}: shapes`, () => {
      const random = new Random(200 + type);
      for (let n = 0; n < 18; n++) {
        // Every size of each dimension occurs, in mixed company.
        const rows = SIZES[n % 6]!;
        const tokens = SIZES[(n + Math.floor(n / 6) * 2 + 1) % 6]!;
        const steps = (n * 5 + Math.floor(n / 6)) % 6;
        const cols = blockSize === 1 ? COLS[steps]! : BLOCKS[steps]! * blockSize;
        const weights = randomWeights(random, type, rows, cols);
        const x = random.floats(tokens * cols, random.pick([1, 0.01, 30]));
        const offset = random.pick([0, 32, 96]);
        const { actual, expected } = run({ type, rows, cols, tokens, weights, x, offset });
        const error = rootMeanSquareError(actual, expected) / termSize(type, weights, cols, x);
        expect({ rows, cols, tokens, offset, ok: error <= TOLERANCE, error }).toMatchObject({ ok: true });
      }
    });

    test(`${typeName(type)}: zeros, denormals, large values, lonely values`, () => {
      const random = new Random(300 + type);
      const [rows, tokens] = [8, 3];
      const cols = Math.max(blockSize * 3, 96);
      const weights = randomWeights(random, type, rows, cols);
      const base = { type, rows, cols, tokens, weights, offset: 32 };

      const zeros = run({ ...base, x: new Float32Array(tokens * cols) });
      expect(zeros.actual.every((v) => v === 0)).toBe(true);

      const denormals = run({ ...base, x: random.floats(tokens * cols, 1e-41) });
      // Weights are about 1: sums stay within the denormals' size.
      expect(Math.max(...denormals.actual.map(Math.abs))).toBeLessThan(1e-38);

      // Blocks of 32 have half-precision scales: values up to 65504 · 127 have a finite one.
      const x = random.floats(tokens * cols, blockSize === 1 ? 1e15 : 1e6);
      const large = run({ ...base, x });
      expect(rootMeanSquareError(large.actual, large.expected)).toBeLessThan(
        TOLERANCE * termSize(type, weights, cols, x),
      );

      // One value far larger than all others of its block, one block far larger than the others.
      const lonely = random.floats(tokens * cols, 1e-3).map((v, i) => (i % 67 === 5 ? v * 1e6 : v));
      const alone = run({ ...base, x: lonely });
      expect(rootMeanSquareError(alone.actual, alone.expected)).toBeLessThan(
        TOLERANCE * termSize(type, weights, cols, lonely),
      );
    });
  }

  test('extreme integers do not saturate', () => {
    for (const type of BLOCK_FORMATS.keys())
      for (const fill of [0xff, 0x00, 0x80, 0x7f, 0x88]) {
        const { blockSize, blockBytes } = WEIGHT_TYPES.get(type)!;
        const cols = blockSize * 2;
        const weights = new Uint8Array(3 * rowBytes(type, cols)).fill(fill);
        // Scales that are finite whatever the fill: half 0x2e2e is about 0.1.
        const random = new Random(1);
        const scales = randomWeights(random, type, 1, blockSize);
        for (let at = 0; at < weights.length; at += blockBytes) {
          const halves =
            type === WeightType.Q6_K
              ? [208]
              : type === WeightType.Q3_K
                ? [108]
                : type === WeightType.Q2_K
                  ? [80, 82]
                  : [0, 2];
          if (type === WeightType.MXFP4) weights[at] = scales[0]!;
          else for (const h of halves) weights.fill(0x2e, at + h, at + h + 2);
        }
        for (const sign of [1, -1]) {
          const x = Float32Array.from({ length: 2 * cols }, (_, i) => (i < cols ? sign : i % 2 ? 1 : -1));
          const { actual, expected } = run({ type, rows: 3, cols, tokens: 2, weights, x, offset: 0 });
          const size = termSize(type, weights, cols, x) * Math.sqrt(cols);
          const error = rootMeanSquareError(actual, expected) / (size || 1);
          expect({ type: typeName(type), fill, sign, ok: error <= TOLERANCE, error }).toMatchObject({
            ok: true,
          });
        }
      }
  });

  /**
   * A matrix with a single 1 in each row shows the rounded activation itself: scale times integer, one rounding.
   */
  test.each([
    ['32-blocks', WeightType.Q8_0],
    ['256-blocks', WeightType.Q6_K],
  ])('activations are rounded to the same integers: %s', (_, type) => {
    const cols = 256;
    const weights = new Uint8Array(cols * rowBytes(type, cols));
    for (let r = 0; r < cols; r++) {
      if (type === WeightType.Q8_0)
        for (let b = 0; b < 8; b++) {
          const at = (r * 8 + b) * 34;
          weights[at + 1] = 0x3c;
          if (r >> 5 === b) weights[at + 2 + (r & 31)] = 1;
        }
      else {
        // Every weight is 32 - 32 = 0 (high bits 2), the r-th 33 - 32 = 1; all scales 1.
        const at = r * 210;
        weights.fill(0xaa, at + 128, at + 192);
        weights.fill(1, at + 192, at + 208);
        weights[at + 209] = 0x3c;
        const inHalf = r & 127;
        weights[at + (r >> 7) * 64 + (inHalf & 63)]! |= inHalf < 64 ? 1 : 16;
      }
    }
    const random = new Random(5);
    const tokens = 12;
    const x = random.floats(tokens * cols);
    // Token 0: ties (multiples of one half under a scale of one); 1: equal extremes of both signs.
    x.subarray(0, cols).forEach((_, i) => (x[i] = ((i * 7) % 254) / 2 - 63.5));
    for (let i = 0; i < cols; i += 32) x[i] = 127;
    x.subarray(cols, 2 * cols).forEach((_, i) => (x[cols + i] = i % 3 ? 2 : -2));
    const { actual, expected } = run({ type, rows: cols, cols, tokens, weights, x, offset: 0 });
    expect(
      differences(
        actual.map((v) => v + 0),
        expected.map((v) => v + 0),
      ),
    ).toBe(0);
  });

  test('matrices of several types in one group, at odd addresses', () => {
    const random = new Random(9);
    const [cols, tokens] = [512, 5];
    const kinds = [
      WeightType.Q4_K,
      WeightType.F16,
      WeightType.Q8_0,
      WeightType.Q6_K,
      WeightType.F32,
      WeightType.MXFP4,
    ];
    const parts = kinds.map((type, i) => ({
      type,
      rows: 2 * i + 1,
      weights: randomWeights(random, type, 2 * i + 1, cols),
    }));
    const total = parts.reduce((sum, p) => sum + p.rows, 0);
    const x = random.floats(tokens * cols);
    const { actual, expected } = libraries.both((desk) => {
      const matrices = parts.map(({ type, rows, weights }, i): Matrix => ({
        type,
        layout: 0,
        rows,
        cols,
        memory: desk.bytes(weights, 32 * (2 * i + 1)),
      }));
      const group = desk.kernels.group(matrices);
      expect([group.rows, group.cols]).toEqual([total, cols]);
      const out = desk.zeros(tokens * total * 4);
      desk.kernels.linear(group, desk.floats(x), cols, out, total, tokens);
      return out.f32;
    });
    const size = Math.max(...parts.map((p) => termSize(p.type, p.weights, cols, x)));
    expect(rootMeanSquareError(actual, expected) / size).toBeLessThan(TOLERANCE);
    expect(expected.every((v) => v !== 0)).toBe(true);
  });

  /** Wide rows are taken in pieces, long batches in passes, many rows in chunks: each more than once here. */
  test.each([
    { what: 'wide rows', rows: 9, cols: 4352, tokens: 1 },
    { what: 'wide rows, a batch', rows: 9, cols: 4352, tokens: 5 },
    { what: 'many tokens', rows: 11, cols: 256, tokens: 131 },
    { what: 'many rows', rows: 1027, cols: 256, tokens: 1 },
    { what: 'many rows, a batch', rows: 517, cols: 256, tokens: 3 },
  ])('$what', ({ rows, cols, tokens }) => {
    const { Q4_0, Q8_0, Q5_1, Q4_K, Q6_K, F16 } = WeightType;
    for (const type of [Q4_0, Q8_0, Q5_1, Q4_K, Q6_K, F16]) {
      const random = new Random(rows + type);
      const weights = randomWeights(random, type, rows, cols);
      const x = random.floats(tokens * cols);
      const { actual, expected } = run({ type, rows, cols, tokens, weights, x, offset: 32 });
      expect(rootMeanSquareError(actual, expected)).toBeLessThan(
        TOLERANCE * termSize(type, weights, cols, x),
      );
    }
  });

  test('scales of zero, denormal halves', () => {
    const random = new Random(10);
    const cols = 64;
    const weights = randomWeights(random, WeightType.Q4_0, 4, cols);
    const view = new DataView(weights.buffer);
    view.setUint16(0, 0, true);
    view.setUint16(18, 1, true);
    view.setUint16(36, 0x83ff, true);
    view.setUint16(54, f32ToF16(2 ** -14), true);
    const x = random.floats(cols);
    const { actual, expected } = run({
      type: WeightType.Q4_0,
      rows: 4,
      cols,
      tokens: 1,
      weights,
      x,
      offset: 0,
    });
    actual.forEach((v, i) =>
      expect(Math.abs(v - expected[i]!)).toBeLessThanOrEqual(1e-6 * Math.abs(expected[i]!)),
    );
    expect(expected[0]).not.toBe(0);
  });
});

describe('embed: native equals the reference', () => {
  for (const type of ALL_TYPES)
    test(typeName(type), () => {
      const random = new Random(400 + type);
      const cols = WEIGHT_TYPES.get(type)!.blockSize === 1 ? 33 : 512;
      const weights = randomWeights(random, type, 9, cols);
      const ids = Int32Array.from([8, 0, 3, 3, 7]);
      const { actual, expected } = libraries.both((desk) => {
        const out = desk.zeros(ids.length * cols * 4);
        const memory = desk.bytes(weights, 32);
        desk.kernels.embed({ type, layout: 0, rows: 9, cols, memory }, ids, out);
        return out.f32;
      });
      // One product and one sum; a fused multiply-add may round once where the reference rounds twice.
      expect(rootMeanSquareError(actual, expected)).toBeLessThan(1e-7);
      if (!BLOCK_FORMATS.get(type)?.hasOffsets) expect(differences(actual, expected)).toBe(0);
    });
});
