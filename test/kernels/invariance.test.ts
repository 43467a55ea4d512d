import { afterAll, describe, expect, test } from '@jest/globals';
import { Activation, type ExpertJob } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import { openKernels } from '../../kernels/open.js';
import { WEIGHT_TYPES, WeightType } from '../../kernels/weight-type.js';
import { differences } from './compare.js';
import { Desk } from './desk.js';
import { ALL_TYPES, Random, randomWeights, typeName } from './random.js';

/**
 * The promise that streaming and scheduling rest on: a token's result has the same bits alone, in any batch and on
 * any number of threads. Comparisons with the reference allow rounding; these allow nothing.
 */
const { kernels } = openKernels({ threads: 1 });
const desk = new Desk(kernels);
afterAll(() => {
  desk.close();
  kernels.close();
});

test('the native library is what is tested', () => {
  expect(kernels.isa).not.toBe('reference');
});

const THREADS = [1, 2, 3, 5];
const BATCHES = [1, 2, 3, 4, 7, 16, 133];

const copy = (memory: Memory): Float32Array => memory.f32.slice();

/** Runs work with each number of threads; all results must have the bits of the first. */
function sameOnAllThreads(work: () => Float32Array): Float32Array {
  const results = THREADS.map((threads) => {
    kernels.setThreads(threads);
    return work();
  });
  for (const result of results) expect(differences(result, results[0]!)).toBe(0);
  return results[0]!;
}

describe('matrices', () => {
  for (const type of ALL_TYPES)
    test(`${typeName(type)}: every batch and number of threads`, () => {
      const random = new Random(4000 + type);
      const { blockSize } = WEIGHT_TYPES.get(type)!;
      // More columns than are unpacked at a time, rows that fill no panel, and two matrices in the group.
      const cols = blockSize === 256 ? 2304 : blockSize === 32 ? 2144 : 203;
      const weights = [37, 66].map((rows) => ({
        rows,
        bytes: randomWeights(random, type, rows, cols, 0.05),
      }));
      const group = kernels.group(
        weights.map(({ rows, bytes }) => ({ type, layout: 0, rows, cols, memory: desk.bytes(bytes, 32) })),
      );
      const tokens = Math.max(...BATCHES);
      const stride = cols + 5;
      const x = desk.floats(random.floats(tokens * stride));
      const out = desk.zeros(tokens * group.rows * 4);
      const whole = sameOnAllThreads(() => {
        kernels.linear(group, x, stride, out, group.rows, tokens);
        return copy(out);
      });
      kernels.setThreads(2);
      for (const batch of BATCHES) {
        out.bytes.fill(0);
        for (let t = 0; t < tokens; t += batch) {
          const n = Math.min(batch, tokens - t);
          kernels.linear(
            group,
            x.slice(t * stride * 4),
            stride,
            out.slice(t * group.rows * 4),
            group.rows,
            n,
          );
        }
        expect(differences(copy(out), whole)).toBe(0);
      }
    });

  test('more rows and threads than fit one another', () => {
    const random = new Random(4100);
    for (const rows of [1, 7, 9, 1000]) {
      const group = desk.matrix(WeightType.Q4_0, 64, randomWeights(random, WeightType.Q4_0, rows, 64, 1), 32);
      const x = desk.floats(random.floats(64));
      const out = desk.zeros(rows * 4);
      sameOnAllThreads(() => {
        kernels.linear(group, x, 64, out, rows, 1);
        return copy(out);
      });
    }
  });
});

describe('attention', () => {
  const cases = [
    { name: 'grouped queries', heads: 6, kvHeads: 2, headSize: 64, window: 0 },
    { name: 'one key head per query head, a window', heads: 3, kvHeads: 3, headSize: 32, window: 45 },
    { name: 'a window longer than a segment', heads: 4, kvHeads: 1, headSize: 96, window: 700 },
  ];
  for (const type of [WeightType.F32, WeightType.F16, WeightType.Q8_0])
    test.each(cases)(`${typeName(type)} cache: $name`, ({ heads, kvHeads, headSize, window }) => {
      const random = new Random(4200 + type);
      const { blockSize, blockBytes } = WEIGHT_TYPES.get(type)!;
      const positions = 1290; // more than two segments of softmax
      const kvWidth = kvHeads * headSize;
      const cacheBytes = ((positions * kvWidth) / blockSize) * blockBytes;
      const [cacheK, cacheV] = [desk.zeros(cacheBytes), desk.zeros(cacheBytes)];
      const k = desk.floats(random.floats(positions * kvWidth));
      const v = desk.floats(random.floats(positions * kvWidth));
      kernels.kvStore(k, v, kvWidth, cacheK, cacheV, type, positions, 0, kvHeads, headSize);

      const width = heads * headSize;
      const options = { type, heads, kvHeads, headSize, window, scale: 0.3 };
      // The start of the context, and a stretch across a segment's end.
      for (const pos0 of [0, 990]) {
        const tokens = 70;
        const q = desk.floats(random.floats(tokens * width));
        const out = desk.zeros(tokens * width * 4);
        const whole = sameOnAllThreads(() => {
          kernels.attention(q, width, cacheK, cacheV, out, width, tokens, pos0, options);
          return copy(out);
        });
        for (const [threads, batch] of [
          [1, 1],
          [3, 1],
          [2, 3],
          [1, 17],
        ] as const) {
          kernels.setThreads(threads);
          out.bytes.fill(0);
          for (let t = 0; t < tokens; t += batch) {
            const at = t * width * 4;
            const n = Math.min(batch, tokens - t);
            kernels.attention(q.slice(at), width, cacheK, cacheV, out.slice(at), width, n, pos0 + t, options);
          }
          expect(differences(copy(out), whole)).toBe(0);
        }
      }
    });
});

describe('experts', () => {
  test.each([
    ['ReLU, rows skipped', Activation.Relu, true],
    ['ReLU', Activation.Relu, false],
    ['SiLU', Activation.Silu, false],
  ] as const)('%s: a token alone, in a batch, with other experts', (_name, activation, skip) => {
    const random = new Random(4300);
    const { Q4_0, Q8_0 } = WeightType;
    const [width, hidden, tokens, experts] = [160, 224, 40, 3];
    const shape = {
      width,
      hidden,
      gateType: Q4_0,
      upType: Q4_0,
      downType: Q8_0,
      gateLayout: 0,
      upLayout: 0,
      downLayout: 0,
      activation,
      skip,
    };
    const weights = Array.from({ length: experts }, () => ({
      gate: desk.bytes(randomWeights(random, Q4_0, hidden, width, 0.1)),
      up: desk.bytes(randomWeights(random, Q4_0, hidden, width, 0.1)),
      down: desk.bytes(randomWeights(random, Q8_0, width, hidden, 0.1)),
      ready: null,
    }));
    const x = desk.floats(random.floats(tokens * width));
    const y = desk.zeros(tokens * experts * width * 4);
    const run = (jobs: ExpertJob[]) =>
      kernels.expertsFfn(shape, jobs, x, width, y, width, {
        stallNs: 0,
        late: 0,
        rowsTotal: 0,
        rowsActive: 0,
      });
    const all = Array.from({ length: tokens }, (_, t) => t);
    const job = (e: number, list: number[]): ExpertJob => ({
      ...weights[e]!,
      tokens: list,
      targets: list.map((t) => t * experts + e),
    });
    const whole = sameOnAllThreads(() => {
      y.bytes.fill(0);
      expect(run(weights.map((_, e) => job(e, all)))).toBe(-1);
      return copy(y);
    });
    for (const batch of [1, 5, 11]) {
      kernels.setThreads(2);
      y.bytes.fill(0);
      for (let t = 0; t < tokens; t += batch)
        for (const jobs of [[0, 2], [1]]) run(jobs.map((e) => job(e, all.slice(t, t + batch))));
      expect(differences(copy(y), whole)).toBe(0);
    }
  });
});

test('norm, rope, gate and sum: every number of threads, alone and in a batch', () => {
  const random = new Random(4400);
  const [tokens, width] = [33, 6 * 34];
  const input = random.floats(tokens * width);
  const weight = desk.floats(random.floats(34));
  const rope = { heads: 6, headSize: 34, dims: 32, freqBase: 1e4, freqScale: 1, pairing: 1, factors: null };
  const mix = random.floats(tokens);
  const work = (batch: number): Float32Array => {
    const x = desk.floats(input);
    const gate = desk.floats(input);
    const sum = desk.floats(input);
    for (let t = 0; t < tokens; t += batch) {
      const n = Math.min(batch, tokens - t);
      const at = (m: Memory) => m.slice(t * width * 4);
      kernels.rmsNorm(at(x), width, weight, at(x), width, n, 6, 34, 1e-6);
      kernels.rope(at(x), width, n, 100 + t, rope);
      kernels.gated(at(gate), width, at(gate), width, n, width / 2, Activation.Silu);
      kernels.combine(at(gate), width, mix.subarray(t), n, 1, width / 2, 0.7, at(sum), width);
    }
    return Float32Array.of(...copy(x), ...copy(gate), ...copy(sum));
  };
  const whole = sameOnAllThreads(() => work(tokens));
  for (const batch of [1, 2, 10]) expect(differences(work(batch), whole)).toBe(0);
});
