import { afterAll, describe, expect, test } from '@jest/globals';
import { Activation, Gating, RopePairing } from '../../kernels/kernels.js';
import { quantiseQ8Block, quantiseQ8KBlock } from '../../kernels/reference/activation-quantisation.js';
import { BLOCK_FORMATS } from '../../kernels/reference/block-formats.js';
import { dequantiseRow } from '../../kernels/reference/dequantise.js';
import { ReferenceKernels } from '../../kernels/reference/reference-kernels.js';
import { WeightType, rowBytes } from '../../kernels/weight-type.js';
import { relativeError } from './closeness.js';
import { Desk } from './desk.js';
import { ALL_TYPES, Random, randomWeights, typeName } from './random.js';

/** The reference against the plain formula of each kernel, written once more here in double precision. */
const kernels = new ReferenceKernels();
const desk = new Desk(kernels);
afterAll(() => desk.close());

/** Rounding of the result to float32 is all that separates the reference from a double-precision formula. */
const ROUNDING = 1e-7;

/** The activation as integer-dot types see it: rounded to int8 blocks and back. */
function seenBy(type: number, x: Float32Array): Float64Array {
  const out = Float64Array.from(x);
  const format = BLOCK_FORMATS.get(type);
  if (!format) return out;
  const ints = new Int8Array(format.blockSize);
  for (let c = 0; c < x.length; c += format.blockSize) {
    const scale = (format.blockSize === 32 ? quantiseQ8Block : quantiseQ8KBlock)(x, c, ints, 0);
    ints.forEach((v, i) => (out[c + i] = v * scale));
  }
  return out;
}

describe('linear', () => {
  for (const type of ALL_TYPES)
    test(`${typeName(type)}: rows dequantised, multiplied in double precision`, () => {
      const random = new Random(100 + type);
      const [rows, cols, tokens] = [5, 768, 3];
      const weights = randomWeights(random, type, rows, cols);
      const x = random.floats(tokens * cols);
      const out = desk.zeros(rows * tokens * 4);
      kernels.linear(desk.matrix(type, cols, weights), desk.floats(x), cols, out, rows, tokens);
      const exact = new Float32Array(rows * tokens);
      const unrounded = new Float32Array(rows * tokens);
      const row = new Float32Array(cols);
      for (let r = 0; r < rows; r++) {
        dequantiseRow(type, weights.subarray(r * rowBytes(type, cols)), cols, row);
        for (let t = 0; t < tokens; t++) {
          const xt = x.subarray(t * cols, (t + 1) * cols);
          const seen = seenBy(type, xt);
          exact[t * rows + r] = row.reduce((sum, w, c) => sum + w * seen[c]!, 0);
          unrounded[t * rows + r] = row.reduce((sum, w, c) => sum + w * xt[c]!, 0);
        }
      }
      // Dequantised weights are rounded to float32 once or twice, the reference's are not.
      expect(relativeError(out.f32, exact)).toBeLessThan(ROUNDING * 3);
      // Eight bits of activation: half a step of amax/127 per value, about 1 % of a normal value.
      expect(relativeError(out.f32, unrounded)).toBeLessThan(0.02);
    });

  test('what is no group is refused', () => {
    const memory = desk.zeros(1000);
    const matrix = { type: WeightType.F32, layout: 0, rows: 3, cols: 8, memory };
    expect(() => kernels.group([])).toThrow('at least one');
    expect(() => kernels.group([matrix, { ...matrix, cols: 4 }])).toThrow('8 and 4 columns');
    expect(() => kernels.group([{ ...matrix, rows: 32 }])).toThrow('1024 bytes');
    expect(() => kernels.group([{ ...matrix, layout: 1 }])).toThrow('layout 1');
    expect(() => kernels.group([{ ...matrix, type: 9 }])).toThrow('type 9');
    expect(() => kernels.group([{ ...matrix, type: WeightType.Q4_0 }])).toThrow('8 columns');
    expect(() => kernels.group([{ ...matrix, rows: 0 }])).toThrow('positive integers');
  });
});

describe('activation rounding', () => {
  test('halves go away from zero in 32-blocks, to even in 256-blocks', () => {
    const x = new Float32Array(256);
    x.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997]);
    const ints = new Int8Array(256);
    expect(quantiseQ8Block(x, 0, ints, 0)).toBe(1);
    expect([...ints.subarray(0, 8)]).toEqual([127, 1, 2, 3, -1, -2, -3, 0]);
    // The largest value becomes -127, and the scale takes its sign.
    expect(quantiseQ8KBlock(x, 0, ints, 0)).toBe(-1);
    expect([...ints.subarray(0, 8)]).toEqual([-127, 0, -2, -2, 0, 2, 2, 0]);
  });

  test('blocks of denormals have no scale and no integers', () => {
    const x = new Float32Array(256).fill(1e-42);
    const ints = new Int8Array(256).fill(9);
    expect(quantiseQ8Block(x, 0, ints, 0)).toBe(0);
    expect(Math.abs(quantiseQ8KBlock(x, 0, ints, 0))).toBe(0);
    expect(ints.every((v) => v === 0)).toBe(true);
  });
});

describe('rope', () => {
  for (const [name, pairing] of Object.entries(RopePairing))
    test(name, () => {
      const random = new Random(7);
      const [heads, headSize, dims, tokens, pos0] = [3, 12, 8, 2, 5];
      const x = random.floats(tokens * heads * headSize);
      const factors = new Float32Array([1, 2, 0.5, 4]);
      const memory = desk.floats(x);
      kernels.rope(memory, heads * headSize, tokens, pos0, {
        heads,
        headSize,
        dims,
        freqBase: 100,
        freqScale: 0.5,
        pairing,
        factors: desk.floats(factors),
      });
      const expected = Float32Array.from(x);
      for (let t = 0; t < tokens; t++)
        for (let h = 0; h < heads; h++)
          for (let i = 0; i < dims / 2; i++) {
            const angle = (0.5 * (pos0 + t) * 100 ** ((-2 * i) / dims)) / factors[i]!;
            const at = (t * heads + h) * headSize;
            const [a, b] =
              pairing === RopePairing.Adjacent ? [at + 2 * i, at + 2 * i + 1] : [at + i, at + i + 4];
            expected[a] = x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle);
            expected[b] = x[a]! * Math.sin(angle) + x[b]! * Math.cos(angle);
          }
      // Angles are float32 products; at these positions they are within 1e-6.
      expect(relativeError(memory.f32, expected)).toBeLessThan(1e-6);
    });
});

describe('attention', () => {
  test('softmax of scores over the visible positions', () => {
    const random = new Random(8);
    const [heads, kvHeads, headSize, tokens, pos0, window, scale] = [4, 2, 5, 3, 4, 3, 0.7];
    const q = random.floats(tokens * heads * headSize);
    const k = random.floats((pos0 + tokens) * kvHeads * headSize);
    const v = random.floats((pos0 + tokens) * kvHeads * headSize);
    const out = desk.zeros(q.length * 4);
    kernels.attention(
      desk.floats(q),
      heads * headSize,
      desk.floats(k),
      desk.floats(v),
      out,
      heads * headSize,
      tokens,
      pos0,
      {
        type: WeightType.F32,
        heads,
        kvHeads,
        headSize,
        window,
        scale,
      },
    );
    const expected = new Float32Array(q.length);
    for (let t = 0; t < tokens; t++)
      for (let h = 0; h < heads; h++) {
        const kv = (h >> 1) * headSize;
        const p = pos0 + t;
        const seen = [p - 2, p - 1, p];
        const weights = seen.map((j) => {
          let dot = 0;
          for (let d = 0; d < headSize; d++)
            dot += q[(t * heads + h) * headSize + d]! * k[j * kvHeads * headSize + kv + d]!;
          return Math.exp(dot * scale);
        });
        const total = weights.reduce((a, b) => a + b);
        for (let d = 0; d < headSize; d++)
          expected[(t * heads + h) * headSize + d] =
            seen.reduce((sum, j, i) => sum + weights[i]! * v[j * kvHeads * headSize + kv + d]!, 0) / total;
      }
    expect(relativeError(out.f32, expected)).toBeLessThan(ROUNDING * 5);
  });
});

describe('router', () => {
  const logits = Float32Array.from([0, 2, 1, 2, -1, 3, 0.5, 1]);
  function route(
    gating: number,
    extra: { bias?: number[]; groups?: number; groupsUsed?: number; normalise?: boolean },
  ) {
    const ids = new Int32Array(3);
    const weights = new Float32Array(3);
    kernels.route(
      desk.floats(logits),
      1,
      8,
      {
        k: 3,
        gating,
        bias: extra.bias ? desk.floats(Float32Array.from(extra.bias)) : null,
        groups: extra.groups ?? 1,
        groupsUsed: extra.groupsUsed ?? 1,
        normalise: extra.normalise ?? false,
        scale: 2,
      },
      ids,
      weights,
    );
    return { ids: [...ids], weights: [...weights] };
  }
  const exps = [...logits].map(Math.exp);
  const all = exps.reduce((a, b) => a + b);

  test('softmax over all, ties to the lowest id', () => {
    const { ids, weights } = route(Gating.Softmax, {});
    expect(ids).toEqual([5, 1, 3]);
    ids.forEach((e, j) => expect(weights[j]).toBeCloseTo((2 * exps[e]!) / all, 6));
  });

  test('softmax over the chosen', () => {
    const { ids, weights } = route(Gating.SoftmaxSelected, {});
    const chosen = exps[5]! + exps[1]! + exps[3]!;
    expect(ids).toEqual([5, 1, 3]);
    ids.forEach((e, j) => expect(weights[j]).toBeCloseTo((2 * exps[e]!) / chosen, 6));
  });

  test('sigmoid, bias for the choice only, weights made to sum to the scale', () => {
    const { ids, weights } = route(Gating.Sigmoid, { bias: [0, 0, 0, 0, 5, 0, 0, 0], normalise: true });
    const gate = (x: number) => 1 / (1 + Math.exp(-x));
    expect(ids).toEqual([4, 5, 1]);
    const sum = gate(-1) + gate(3) + gate(2);
    [gate(-1), gate(3), gate(2)].forEach((g, j) => expect(weights[j]).toBeCloseTo((2 * g) / sum, 6));
  });

  test('groups are ranked by their two best', () => {
    // Two groups of four: 0.98 + ... the pair (2, 2) of the first beats (3, 1) of the second by sigmoid sums.
    const gate = (x: number) => 1 / (1 + Math.exp(-x));
    expect(2 * gate(2)).toBeGreaterThan(gate(3) + gate(1));
    expect(route(Gating.Sigmoid, { groups: 2, groupsUsed: 1 }).ids).toEqual([1, 3, 2]);
  });

  test('a sum of nearly nothing is not divided by', () => {
    const ids = new Int32Array(1);
    const weights = new Float32Array(1);
    const options = {
      k: 1,
      gating: Gating.Sigmoid,
      bias: null,
      groups: 1,
      groupsUsed: 1,
      normalise: true,
      scale: 1,
    };
    kernels.route(desk.floats(new Float32Array([-20, -21])), 1, 2, options, ids, weights);
    expect(weights[0]).toBeCloseTo(Math.exp(-20) / 6.103515625e-5, 9);
  });

  test('logits that are no numbers still give different experts', () => {
    const ids = new Int32Array(3);
    const options = {
      k: 3,
      gating: Gating.Softmax,
      bias: null,
      groups: 1,
      groupsUsed: 1,
      normalise: true,
      scale: 1,
    };
    kernels.route(desk.floats(new Float32Array(4).fill(NaN)), 1, 4, options, ids, new Float32Array(3));
    expect([...ids]).toEqual([0, 1, 2]);
  });
});

describe('small kernels', () => {
  test('norm, gating, sums', () => {
    const out = desk.zeros(16);
    kernels.rmsNorm(
      desk.floats(new Float32Array([3, 4, 6, 8])),
      4,
      desk.floats(new Float32Array([1, 2])),
      out,
      4,
      1,
      2,
      2,
      0,
    );
    const root = Math.sqrt(12.5);
    [3 / root, 8 / root, 3 / root, 8 / root].forEach((v, i) => expect(out.f32[i]).toBeCloseTo(v, 6));

    kernels.gated(desk.floats(new Float32Array([-1, 2, 5, 7])), 4, out, 2, 1, 2, Activation.Relu);
    expect([...out.f32.subarray(0, 2)]).toEqual([0, 14]);
    kernels.gated(desk.floats(new Float32Array([-1, 2, 5, 7])), 4, out, 2, 1, 2, Activation.Silu);
    expect(out.f32[0]).toBeCloseTo(-5 / (1 + Math.E), 6);

    const x = desk.floats(new Float32Array([1, 2, 3, 4]));
    const y = desk.floats(new Float32Array([10, 20, 30, 40]));
    kernels.combine(y, 2, new Float32Array([1, 3]), 1, 2, 2, 0.5, x, 2);
    expect([...x.f32]).toEqual([1 + 0.5 * (10 + 90), 2 + 0.5 * (20 + 120), 3, 4]);
    kernels.addScaled(y, 0.5, x, 1);
    expect(x.f32[0]).toBe(56);
    kernels.scale(x, 2, 3);
    expect([...x.f32]).toEqual([112, 144, 6, 4]);
  });

  test('argmax takes the first of equals and never NaN', () => {
    expect(kernels.argmax(desk.floats(new Float32Array([NaN, 1, 3, NaN, 3])), 5)).toBe(2);
    expect(kernels.argmax(desk.floats(new Float32Array([NaN, -Infinity])), 2)).toBe(1);
    expect(kernels.argmax(desk.floats(new Float32Array([NaN, NaN])), 2)).toBe(-1);
    expect(kernels.argmax(desk.zeros(4), 0)).toBe(-1);
  });
});

describe('memory', () => {
  test('spans are zeroed, page-aligned, apart, and freed once', () => {
    const a = kernels.alloc(5000);
    const b = new ReferenceKernels().alloc(1);
    expect(a.address % 4096).toBe(0);
    expect(b.address).toBeGreaterThanOrEqual(a.address + 5000);
    expect(a.bytes.every((v) => v === 0)).toBe(true);
    a.slice(4096, 4).f32[0] = 1;
    expect(a.bytes[4099]).toBe(0x3f);
    kernels.free(a);
    expect(() => kernels.free(a)).toThrow('not allocated here');
    expect(() => kernels.alloc(2 ** 50)).toThrow(RangeError);
    expect(() => kernels.setThreads(0)).toThrow(RangeError);
  });
});
