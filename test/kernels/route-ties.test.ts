import { afterAll, describe, expect, test } from '@jest/globals';
import { Gating } from '../../kernels/kernels.js';
import { SideBySide } from './compare.js';
import { Random } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

const { floor } = Math;

/** The order of all n experts of each row of logits: native, the same as the reference's. */
function orders(logits: Float32Array, n: number, gating: number): Int32Array {
  const tokens = logits.length / n;
  const options = { k: n, gating, bias: null, groups: 1, groupsUsed: 1, normalise: false, scale: 1 };
  const { actual, expected } = libraries.both((desk) => {
    const ids = new Int32Array(tokens * n);
    desk.kernels.route(desk.floats(logits), tokens, n, options, ids, new Float32Array(tokens * n));
    return Float32Array.from(ids);
  });
  const at = actual.findIndex((id, i) => id !== expected[i]);
  expect({ n, row: at < 0 ? 'none' : floor(at / n) }).toEqual({ n, row: 'none' });
  return Int32Array.from(actual);
}

describe('equal scores: native and reference choose the same ids', () => {
  test('every number of experts from 2 to 512, few different scores', () => {
    for (let n = 2; n <= 512; n++) {
      const random = new Random(n);
      const rows = [2, 3, 8, n].flatMap((values) => {
        const different = 1 + random.below(values);
        return Array.from({ length: n }, () => random.below(different));
      });
      const ids = orders(Float32Array.from(rows), n, Gating.SoftmaxSelected);
      // Each row is a permutation in descending order.
      for (let row = 0; row < 4; row++) {
        const order = ids.subarray(row * n, (row + 1) * n);
        expect(new Set(order).size).toBe(n);
        const scores = [...order].map((id) => rows[row * n + id]!);
        expect(scores.every((score, i) => i === 0 || score <= scores[i - 1]!)).toBe(true);
      }
    }
  });

  test('sigmoids, most of them saturated', () => {
    for (const n of [8, 17, 32, 60, 64, 128, 256, 384, 512]) {
      const random = new Random(n);
      const logits = Float32Array.from({ length: 16 * n }, () => 12 + random.below(40) / 2);
      orders(logits, n, Gating.Sigmoid);
    }
  });

  /** Organ pipes of this length let the quicksort's depth run out, so that the heap sort takes over. */
  test('rising, falling, organ pipes, saw teeth', () => {
    for (const n of [17, 64, 100, 255, 384, 512]) {
      const shapes = [
        (i: number) => i,
        (i: number) => -i,
        (i: number) => Math.min(i, n - i),
        (i: number) => i % 7,
        (i: number) => i & 1,
      ];
      const rows = shapes.flatMap((shape) => [1, 3].map((step) => ({ shape, step })));
      const logits = rows.flatMap(({ shape, step }) =>
        Array.from({ length: n }, (_, i) => floor(shape(i) / step)),
      );
      orders(Float32Array.from(logits), n, Gating.SoftmaxSelected);
    }
  });
});
