import { afterAll, describe, expect, test } from '@jest/globals';
import { Activation } from '../../kernels/kernels.js';
import { relativeError } from './closeness.js';
import { SideBySide, differences } from './compare.js';
import { Random } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

const LENGTHS = [1, 2, 3, 7, 8, 17, 64, 100, 1027];

describe('sums and products: native equals the reference', () => {
  test('addScaled and scale', () => {
    for (const n of LENGTHS) {
      const random = new Random(n);
      const x = random.floats(n + 1);
      const y = random.floats(n + 1);
      const added = libraries.both((desk) => {
        const memory = desk.floats(y);
        desk.kernels.addScaled(desk.floats(x), 0.3, memory, n);
        return memory.f32;
      });
      // One rounding with a fused multiply-add, two without.
      expect(relativeError(added.actual, added.expected)).toBeLessThan(1e-7);
      expect(added.actual[n]).toBe(y[n]);

      const scaled = libraries.both((desk) => {
        const memory = desk.floats(y);
        desk.kernels.scale(memory, 0.3, n);
        return memory.f32;
      });
      expect(differences(scaled.actual, scaled.expected)).toBe(0);
      expect(scaled.actual[n]).toBe(y[n]);
    }
  });

  test.each([
    [1, 1, 1],
    [3, 2, 31],
    [5, 8, 64],
    [2, 3, 1027],
  ])('combine: %i tokens, %i experts each, width %i', (tokens, k, width) => {
    const random = new Random(tokens + k + width);
    const x = random.floats(tokens * (width + 1));
    const y = random.floats(tokens * k * (width + 2));
    const weights = random.floats(tokens * k);
    const { actual, expected } = libraries.both((desk) => {
      const memory = desk.floats(x);
      desk.kernels.combine(desk.floats(y), width + 2, weights, tokens, k, width, 0.7, memory, width + 1);
      return memory.f32;
    });
    // A few float32 roundings.
    expect(relativeError(actual, expected)).toBeLessThan(3e-7);
    for (let t = 0; t < tokens; t++) expect(actual[t * (width + 1) + width]).toBe(x[t * (width + 1) + width]);
  });

  test.each(Object.entries(Activation))('gated: %s', (_, activation) => {
    for (const hidden of LENGTHS) {
      const random = new Random(hidden);
      const tokens = 3;
      const stride = 2 * hidden + 1;
      const gateUp = random.floats(tokens * stride, 4);
      gateUp.set([0, -0, 1e-42, -200, 200, 1e30].slice(0, hidden));
      const { actual, expected } = libraries.both((desk) => {
        const out = desk.zeros(tokens * (hidden + 1) * 4);
        desk.kernels.gated(desk.floats(gateUp), stride, out, hidden + 1, tokens, hidden, activation);
        return out.f32;
      });
      actual.forEach((v, i) => {
        // A float32 exponential, a division and a product; results below 1e-30 only need to be tiny too.
        const error = Math.abs(v - expected[i]!);
        expect(error).toBeLessThanOrEqual(5e-7 * Math.abs(expected[i]!) + 1e-30);
      });
    }
  });
});

describe('argmax', () => {
  test('the first of the largest, never NaN', () => {
    const random = new Random(1);
    for (const n of LENGTHS) {
      const x = Float32Array.from({ length: n }, () => random.below(9) - 4);
      if (n > 2) x[random.below(n)] = NaN;
      const { actual, expected } = libraries.both((desk) =>
        Float32Array.of(desk.kernels.argmax(desk.floats(x), n)),
      );
      expect(actual).toEqual(expected);
    }
    for (const values of [
      [NaN, NaN, NaN],
      [NaN, -Infinity, NaN],
      [-Infinity, -Infinity],
      [NaN, 1, Infinity, Infinity],
    ]) {
      const { actual, expected } = libraries.both((desk) =>
        Float32Array.of(desk.kernels.argmax(desk.floats(Float32Array.from(values)), values.length)),
      );
      expect(actual).toEqual(expected);
    }
  });
});
