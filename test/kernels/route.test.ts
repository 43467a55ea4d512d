import { afterAll, describe, expect, test } from '@jest/globals';
import { Gating } from '../../kernels/kernels.js';
import { SideBySide } from './compare.js';
import { Random } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

/** float32 exponentials, sums and a division. */
const TOLERANCE = 1e-6;

interface Shape {
  readonly experts: number;
  readonly k: number;
  readonly groups: number;
  readonly groupsUsed: number;
}

const SHAPES: readonly Shape[] = [
  { experts: 1, k: 1, groups: 1, groupsUsed: 1 },
  { experts: 5, k: 5, groups: 1, groupsUsed: 1 },
  { experts: 32, k: 4, groups: 1, groupsUsed: 1 },
  { experts: 33, k: 7, groups: 1, groupsUsed: 1 },
  { experts: 128, k: 8, groups: 1, groupsUsed: 1 },
  { experts: 64, k: 6, groups: 8, groupsUsed: 3 },
  { experts: 12, k: 3, groups: 4, groupsUsed: 2 },
  { experts: 8, k: 2, groups: 8, groupsUsed: 4 },
];

interface Options extends Shape {
  readonly logits: Float32Array;
  readonly bias: Float32Array | null;
  readonly gating: number;
  readonly normalise: boolean;
}

/** Both libraries' choices: the ids, exactly equal, and the weights, close. Returns the ids. */
function compare({ logits, bias, experts, k, groups, groupsUsed, gating, normalise }: Options): number[] {
  const tokens = logits.length / experts;
  const { actual, expected } = libraries.both((desk) => {
    const ids = new Int32Array(tokens * k);
    const weights = new Float32Array(tokens * k);
    const options = { k, gating, bias: bias && desk.floats(bias), groups, groupsUsed, normalise, scale: 2.5 };
    desk.kernels.route(desk.floats(logits), tokens, experts, options, ids, weights);
    return Float32Array.from([...ids, ...weights]);
  });
  const count = tokens * k;
  expect([...actual.subarray(0, count)]).toEqual([...expected.subarray(0, count)]);
  for (let i = count; i < 2 * count; i++)
    expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThanOrEqual(TOLERANCE * Math.abs(expected[i]!));
  return [...actual.subarray(0, count)];
}

describe('router: native equals the reference', () => {
  for (const [name, gating] of Object.entries(Gating))
    test.each(SHAPES)(`${name}, $k of $experts experts, $groupsUsed of $groups groups`, (shape) => {
      const random = new Random(shape.experts + gating);
      const size = { ...shape, gating };
      for (const normalise of [false, true])
        for (const bias of [null, random.floats(shape.experts, 0.3)]) {
          const logits = random.floats(5 * shape.experts, 2);
          compare({ ...size, logits, bias, normalise });

          // A few different values only: ties everywhere, among groups too.
          const coarse = Float32Array.from(logits, (v) => Math.round(v));
          const ids = compare({
            ...size,
            logits: coarse,
            bias: bias && bias.map((v) => Math.round(v * 4)),
            normalise,
          });
          for (let t = 0; t < 5; t++)
            expect(new Set(ids.slice(t * shape.k, (t + 1) * shape.k)).size).toBe(shape.k);

          // Logits far apart: exponentials that vanish.
          compare({ ...size, logits: logits.map((v) => v * 40), bias: null, normalise });
        }
    });

  test('all equal: the lowest ids, in order', () => {
    for (const gating of Object.values(Gating)) {
      const shape = { experts: 16, k: 4, groups: 1, groupsUsed: 1, gating, normalise: true, bias: null };
      expect(compare({ ...shape, logits: new Float32Array(32) })).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    }
  });

  test('tiny sums are divided by 2^-14 at least', () => {
    const logits = Float32Array.from({ length: 8 }, (_, i) => -18 - i / 2);
    compare({
      experts: 8,
      k: 2,
      groups: 1,
      groupsUsed: 1,
      gating: Gating.Sigmoid,
      normalise: true,
      bias: null,
      logits,
    });
  });
});
