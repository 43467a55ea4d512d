import { afterAll, describe, expect, test } from '@jest/globals';
import { cacheRowBytes } from '../../kernels/reference/kv-cache.js';
import { WeightType } from '../../kernels/weight-type.js';
import { relativeError } from './closeness.js';
import { SideBySide } from './compare.js';
import { Random, typeName } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

const CACHE_TYPES = [WeightType.F32, WeightType.F16, WeightType.Q8_0];

describe('KV cache: native stores the same bytes as the reference', () => {
  test.each(CACHE_TYPES.map((type) => [typeName(type), type] as const))('%s', (_, type) => {
    const random = new Random(type);
    for (const [tokens, pos0, kvHeads, headSize] of [
      [1, 0, 1, 32],
      [3, 5, 2, 64],
      [17, 1, 3, 96],
    ] as const) {
      const width = kvHeads * headSize;
      const stride = width + 5;
      const k = random.floats(tokens * stride, 3);
      const v = random.floats(tokens * stride, 1e-3);
      // Ties of the rounding to halves and to int8, zeros, values beyond the largest half, denormal halves.
      k.set([0, -0, 2049, 2051, 1e6, -1e6, 1e-7, 6e-8, 0.5, 1.5]);
      v.fill(0, 0, 32);
      const bytes = cacheRowBytes(type, width);
      const size = (pos0 + tokens + 1) * bytes;
      const { actual, expected } = libraries.both((desk) => {
        const caches = [0, 1].map(() => desk.bytes(new Uint8Array(size).fill(0xee)));
        desk.kernels.kvStore(
          desk.floats(k),
          desk.floats(v),
          stride,
          caches[0]!,
          caches[1]!,
          type,
          tokens,
          pos0,
          kvHeads,
          headSize,
        );
        // As numbers 0…255, so that comparing needs no floats.
        return Float32Array.from([...caches[0]!.bytes, ...caches[1]!.bytes]);
      });
      expect(actual.findIndex((byte, i) => byte !== expected[i])).toBe(-1);
      // Rows before and after are untouched.
      expect(actual.slice(0, pos0 * bytes).every((byte) => byte === 0xee)).toBe(true);
      expect(actual.slice(size - bytes, size).every((byte) => byte === 0xee)).toBe(true);
    }
  });
});

describe('attention: native equals the reference', () => {
  /**
   * Scores are float32 sums of a head's products, weights float32 exponentials: an error of 1e-6 in a score of
   * about ten changes a weight by that much.
   */
  const TOLERANCE = 3e-6;

  const SHAPES = [
    // tokens, pos0, heads, kvHeads, headSize, window
    [1, 0, 1, 1, 32, 0],
    [1, 70, 4, 2, 64, 0],
    [3, 5, 6, 2, 96, 4],
    [5, 0, 3, 3, 64, 1],
    [17, 40, 8, 1, 128, 32],
    [2, 300, 4, 4, 32, 0],
    [8, 9, 2, 1, 64, 1000],
    // Long contexts are taken in segments: one query, a batch, windows that begin inside a segment.
    [1, 1300, 2, 1, 32, 0],
    [1, 1100, 4, 4, 32, 600],
    [19, 1015, 2, 2, 32, 0],
    [40, 490, 2, 1, 32, 77],
  ] as const;

  function compare(
    type: number,
    [tokens, pos0, heads, kvHeads, headSize, window]: readonly [
      number,
      number,
      number,
      number,
      number,
      number,
    ],
    size = 1,
  ) {
    const random = new Random(type * 1000 + tokens + pos0);
    const width = kvHeads * headSize;
    const positions = pos0 + tokens;
    const q = random.floats(tokens * (heads * headSize + 3));
    const k = random.floats(positions * width, size);
    const v = random.floats(positions * width);
    const bytes = cacheRowBytes(type, width);
    return libraries.both((desk) => {
      // One row more than stored: NaN bytes that nobody may read.
      const caches = [0, 1].map(() => desk.bytes(new Uint8Array((positions + 1) * bytes).fill(0xff)));
      const [cacheK, cacheV] = [caches[0]!, caches[1]!];
      desk.kernels.kvStore(
        desk.floats(k),
        desk.floats(v),
        width,
        cacheK,
        cacheV,
        type,
        positions,
        0,
        kvHeads,
        headSize,
      );
      // Rows that the window hides from all queries hold NaN as well.
      const hidden = window > 0 ? Math.max(0, pos0 - window + 1) * bytes : 0;
      cacheK.bytes.fill(0xff, 0, hidden);
      cacheV.bytes.fill(0xff, 0, hidden);
      const outStride = heads * headSize + 1;
      const out = desk.zeros(tokens * outStride * 4);
      desk.kernels.attention(
        desk.floats(q),
        heads * headSize + 3,
        cacheK,
        cacheV,
        out,
        outStride,
        tokens,
        pos0,
        { type, heads, kvHeads, headSize, window, scale: 1 / Math.sqrt(headSize) },
      );
      return out.f32;
    });
  }

  for (const type of CACHE_TYPES) {
    test.each(SHAPES)(
      `${typeName(type)}: %i tokens from %i, %i heads, %i for keys, of %i, window %i`,
      (...shape) => {
        const { actual, expected } = compare(type, shape);
        expect(relativeError(actual, expected)).toBeLessThan(TOLERANCE);
      },
    );

    test(`${typeName(type)}: scores so far apart that one position takes all`, () => {
      const { actual, expected } = compare(type, [3, 20, 2, 1, 64, 0], 300);
      expect(actual.every(Number.isFinite)).toBe(true);
      // Scores are about 300: their float32 rounding alone moves weights by 3e-5.
      expect(relativeError(actual, expected)).toBeLessThan(1e-4);
    });
  }

  test.each([8, 20, 80, 100])('heads of %i, F32 and F16', (headSize) => {
    for (const type of [WeightType.F32, WeightType.F16]) {
      const { actual, expected } = compare(type, [3, 10, 4, 2, headSize, 6]);
      expect(relativeError(actual, expected)).toBeLessThan(TOLERANCE);
    }
  });
});
