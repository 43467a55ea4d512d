import { afterAll, describe, expect, test } from '@jest/globals';
import { RopePairing } from '../../kernels/kernels.js';
import { relativeError } from './closeness.js';
import { SideBySide } from './compare.js';
import { Random } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

describe('RMS norm: native equals the reference', () => {
  /** Three float32 roundings (scale, product, product), each at most 2^-24. */
  const TOLERANCE = 1.5e-7;

  test.each([
    [1, 1, 1],
    [3, 1, 31],
    [2, 5, 64],
    [17, 3, 33],
    [1, 1, 2560],
  ])('%i tokens, %i groups, %i columns', (tokens, groups, cols) => {
    const random = new Random(tokens * 100 + cols);
    const xStride = groups * cols + 1;
    const outStride = groups * cols + 2;
    const weight = random.floats(cols);
    for (const [scale, eps] of [
      [1, 1e-6],
      [1e-4, 1e-5],
      [1e12, 1e-6],
      [0, 1e-5],
    ] as const) {
      const x = random.floats(tokens * xStride, scale);
      const { actual, expected } = libraries.both((desk) => {
        const out = desk.zeros(tokens * outStride * 4);
        desk.kernels.rmsNorm(
          desk.floats(x),
          xStride,
          desk.floats(weight),
          out,
          outStride,
          tokens,
          groups,
          cols,
          eps,
        );
        return out.f32;
      });
      expect(relativeError(actual, expected)).toBeLessThan(TOLERANCE);
      expect(actual.every(Number.isFinite)).toBe(true);
    }
  });

  test('in place', () => {
    const x = new Random(3).floats(4 * 48);
    const weight = new Random(4).floats(48);
    const { actual, expected } = libraries.both((desk) => {
      const memory = desk.floats(x);
      desk.kernels.rmsNorm(memory, 48, desk.floats(weight), memory, 48, 4, 1, 48, 1e-6);
      return memory.f32;
    });
    expect(relativeError(actual, expected)).toBeLessThan(TOLERANCE);
  });
});

describe('rope: native equals the reference', () => {
  /**
   * Angles are multiplied up in float32 from a power that may differ in its last bit, so their difference grows
   * with the position: 2^-24 of an angle of that many radians.
   */
  const tolerance = (position: number) => 3e-7 + position * 1.2e-7;

  for (const [name, pairing] of Object.entries(RopePairing))
    test.each([
      [1, 1, 8, 8, 0, 10000],
      [3, 5, 64, 64, 1, 10000],
      [2, 4, 128, 128, 1000, 1e6],
      [17, 2, 80, 40, 7, 500000],
      [1, 3, 20, 12, 4095, 10000],
    ])(
      `${name}: %i tokens, %i heads of %i, %i turned, from %i, base %i`,
      (tokens, heads, headSize, dims, pos0, freqBase) => {
        const random = new Random(tokens + headSize);
        const stride = heads * headSize + 4;
        const x = random.floats(tokens * stride);
        const divisors = Float32Array.from({ length: dims / 2 }, () => 1 + random.uniform() * 7);
        for (const [factors, freqScale] of [
          [null, 1],
          [divisors, 0.25],
        ] as const) {
          const { actual, expected } = libraries.both((desk) => {
            const memory = desk.floats(x);
            desk.kernels.rope(memory, stride, tokens, pos0, {
              heads,
              headSize,
              dims,
              freqBase,
              freqScale,
              pairing,
              factors: factors && desk.floats(factors),
            });
            return memory.f32;
          });
          expect(relativeError(actual, expected)).toBeLessThan(tolerance(pos0 + tokens));
          // What is not turned is untouched: the rest of each head, the gap between rows.
          for (let t = 0; t < tokens; t++) {
            for (let h = 0; h < heads; h++) {
              const [from, to] = [t * stride + h * headSize + dims, t * stride + (h + 1) * headSize];
              expect(actual.slice(from, to)).toEqual(x.slice(from, to));
            }
            expect(actual.slice((t + 1) * stride - 4, (t + 1) * stride)).toEqual(
              x.slice((t + 1) * stride - 4, (t + 1) * stride),
            );
          }
        }
      },
    );

  test('one call after the other with one thing changed', () => {
    const random = new Random(11);
    const [tokens, heads, headSize] = [4, 2, 32];
    const x = random.floats(tokens * heads * headSize);
    const divisors = [0, 1].map(() => Float32Array.from({ length: 16 }, () => 1 + random.uniform()));
    const usual = { tokens, pos0: 3, dims: 32, freqBase: 10000, freqScale: 1, pairing: 1, factors: -1 };
    const changes: Partial<typeof usual>[] = [
      {},
      { tokens: 2 },
      { tokens: 4 },
      { pos0: 4 },
      { pos0: 3 },
      { freqBase: 5000 },
      { freqScale: 0.5 },
      { pairing: 0 },
      { dims: 16 },
      { factors: 0 },
      { factors: 1 },
      { factors: -1 },
    ];
    const { actual, expected } = libraries.both((desk) => {
      const results = changes.map((change) => {
        const { tokens: count, pos0, factors, ...rest } = { ...usual, ...change };
        const memory = desk.floats(x);
        desk.kernels.rope(memory, heads * headSize, count, pos0, {
          ...rest,
          heads,
          headSize,
          factors: factors < 0 ? null : desk.floats(divisors[factors]!),
        });
        return memory.f32;
      });
      return Float32Array.from(results.flatMap((r) => [...r]));
    });
    const size = x.length;
    changes.forEach((_, i) => {
      const [a, b] = [actual, expected].map((r) => r.subarray(i * size, (i + 1) * size));
      expect(relativeError(a!, b!)).toBeLessThan(tolerance(8));
    });
  });
});
