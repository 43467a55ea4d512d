import { afterAll, describe, expect, test } from '@jest/globals';
import { Activation, type ExpertJob, type ExpertRunStats, type ExpertShape } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import { BLOCK_FORMATS } from '../../kernels/reference/block-formats.js';
import { WEIGHT_TYPES, WeightType } from '../../kernels/weight-type.js';
import { relativeError } from './closeness.js';
import { SideBySide, differences } from './compare.js';
import { Desk } from './desk.js';
import { type Landing, LandingThread, SharedSpans } from './landing.js';
import { ALL_TYPES, Random, randomWeights, typeName } from './random.js';

const libraries = new SideBySide();
afterAll(() => libraries.close());

interface Expert {
  readonly gate: Uint8Array;
  readonly up: Uint8Array;
  readonly down: Uint8Array;
  readonly tokens: readonly number[];
  readonly targets: readonly number[];
}

interface Layer {
  readonly shape: ExpertShape;
  readonly experts: readonly Expert[];
  readonly x: Float32Array;
  readonly xStride: number;
  readonly yRows: number;
}

interface LayerOptions {
  readonly types: readonly [gate: number, up: number, down: number];
  readonly width: number;
  readonly hidden: number;
  /** Tokens of each expert. */
  readonly counts: readonly number[];
  readonly activation?: number;
  readonly skip?: boolean;
}

/** Random experts; every token of the batch and every row of y is used, in mixed order. */
function layer(seed: number, options: LayerOptions): Layer {
  const { types, width, hidden, counts } = options;
  const random = new Random(seed);
  const tokens = Math.max(3, ...counts);
  const yRows = counts.reduce((a, b) => a + b, 0);
  const targets = Array.from({ length: yRows }, (_, i) => i);
  for (let i = yRows - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [targets[i], targets[j]] = [targets[j]!, targets[i]!];
  }
  let at = 0;
  const experts = counts.map((count): Expert => {
    const first = random.below(tokens);
    return {
      gate: randomWeights(random, types[0], hidden, width, 1 / Math.sqrt(width)),
      up: randomWeights(random, types[1], hidden, width, 1 / Math.sqrt(width)),
      down: randomWeights(random, types[2], width, hidden, 1 / Math.sqrt(hidden)),
      tokens: Array.from({ length: count }, (_, i) => (first + i) % tokens),
      targets: targets.slice(at, (at += count)),
    };
  });
  return {
    shape: {
      width,
      hidden,
      gateType: types[0],
      upType: types[1],
      downType: types[2],
      gateLayout: 0,
      upLayout: 0,
      downLayout: 0,
      activation: options.activation ?? Activation.Silu,
      skip: options.skip ?? false,
    },
    experts,
    x: random.floats(tokens * (width + 1)),
    xStride: width + 1,
    yRows,
  };
}

const noStats = (): ExpertRunStats => ({ stallNs: 0, late: 0, rowsTotal: 0, rowsActive: 0 });

/** Experts one after the other as in a slot: 32-byte aligned matrices; resident, or with words that say ready. */
function residentJobs(desk: Desk, { experts }: Layer, words: 'none' | 'three' | 'one'): ExpertJob[] {
  return experts.map(({ gate, up, down, tokens, targets }) => {
    const [toUp, toDown] = [gate.length, gate.length + up.length].map((n) => Math.ceil(n / 32) * 32 + 32);
    const slot = desk.zeros(toDown! + 64 + down.length);
    const place = (bytes: Uint8Array, at: number) => {
      slot.bytes.set(bytes, at);
      return slot.slice(at, bytes.length);
    };
    const word = () => desk.bytes(Uint8Array.of(1, 0, 0, 0));
    const one = word();
    return {
      gate: place(gate, 0),
      up: place(up, toUp!),
      down: place(down, toDown! + 32),
      ready: words === 'none' ? null : words === 'one' ? [one, one, one] : [word(), word(), word()],
      tokens,
      targets,
    };
  });
}

const GUARD = 77.25;

/** Runs jobs and returns y without its gaps, which must be untouched. */
function runJobs(desk: Desk, made: Layer, jobs: readonly ExpertJob[], stats: ExpertRunStats): Float32Array {
  const { width } = made.shape;
  const yStride = width + 3;
  const y = desk.floats(new Float32Array(made.yRows * yStride).fill(GUARD));
  const failed = desk.kernels.expertsFfn(
    made.shape,
    jobs,
    desk.floats(made.x),
    made.xStride,
    y,
    yStride,
    stats,
  );
  expect(failed).toBe(-1);
  const rows = new Float32Array(made.yRows * width);
  for (let r = 0; r < made.yRows; r++) {
    rows.set(y.f32.subarray(r * yStride, r * yStride + width), r * width);
    expect(y.f32.subarray(r * yStride + width, (r + 1) * yStride).every((v) => v === GUARD)).toBe(true);
  }
  return rows;
}

/**
 * Row by row of y. Without integer-dot types float32 rounding alone counts. With them, activations between gate, up
 * and down that differ in their last bit can be rounded to the neighbouring one of 127 steps; that happens to
 * few rows, and moves them by a fraction of a step.
 */
function expectClose(made: Layer, actual: Float32Array, expected: Float32Array): void {
  const { width, downType } = made.shape;
  const errors = Array.from({ length: made.yRows }, (_, r) =>
    relativeError(actual.subarray(r * width, (r + 1) * width), expected.subarray(r * width, (r + 1) * width)),
  );
  const stepped = errors.filter((e) => e > 3e-6);
  expect(Math.max(...errors)).toBeLessThan(BLOCK_FORMATS.has(downType) ? 4e-3 : 3e-6);
  expect(stepped.length).toBeLessThanOrEqual(Math.ceil(made.yRows / 3));
}

function compare(made: Layer): Float32Array {
  const stats = new Set<string>();
  const { actual, expected } = libraries.both((desk) => {
    const sums = noStats();
    const y = runJobs(desk, made, residentJobs(desk, made, 'none'), sums);
    stats.add(JSON.stringify(sums));
    return y;
  });
  expectClose(made, actual, expected);
  // Counters are the same with every library and number of threads.
  expect(stats.size).toBe(1);
  expect(JSON.parse([...stats][0]!)).toMatchObject({
    stallNs: 0,
    late: 0,
    rowsTotal: made.yRows * made.shape.hidden,
  });
  return actual;
}

describe('experts: native equals the reference', () => {
  for (const type of ALL_TYPES)
    test(`${typeName(type)}: counts of tokens, both activations`, () => {
      const { blockSize } = WEIGHT_TYPES.get(type)!;
      const types = [type, type, type] as const;
      const [width, hidden] = blockSize === 1 ? [97, 53] : blockSize === 32 ? [96, 160] : [512, 256];
      compare(layer(500 + type, { types, width, hidden, counts: [1] }));
      compare(layer(600 + type, { types, width, hidden, counts: [2, 1, 5, 3], activation: Activation.Relu }));
    });

  test('gate, up and down of different types', () => {
    const { Q4_K, Q6_K, Q8_0, F16, Q5_0, MXFP4, F32, Q4_0 } = WeightType;
    for (const [i, types] of (
      [
        [Q4_K, Q4_K, Q6_K],
        [Q8_0, Q4_K, F16],
        [Q5_0, MXFP4, Q4_0],
        [F32, Q6_K, Q8_0],
      ] as const
    ).entries())
      compare(layer(700 + i, { types, width: 256, hidden: 256, counts: [3, 1, 8] }));
  });

  test('more experts than threads, batches larger than a tile', () => {
    const { Q4_0 } = WeightType;
    compare(
      layer(720, {
        types: [Q4_0, Q4_0, Q4_0],
        width: 64,
        hidden: 96,
        counts: [17, 1, 2, 1, 1, 1, 9, 1, 3, 1, 1],
      }),
    );
  });

  test('no jobs, no tokens', () => {
    const { Q4_0 } = WeightType;
    const made = layer(721, { types: [Q4_0, Q4_0, Q4_0], width: 64, hidden: 32, counts: [0, 2, 0] });
    compare(made);
    compare({ ...made, experts: [], yRows: 0 });
  });

  for (const type of [
    WeightType.F32,
    WeightType.F16,
    WeightType.Q4_0,
    WeightType.Q8_0,
    WeightType.Q4_K,
    WeightType.Q6_K,
  ])
    test(`${typeName(type)}: skipping rows of zero activation changes no bit`, () => {
      const options = {
        types: [type, type, type] as const,
        width: 256,
        hidden: 256,
        counts: [1, 4, 10, 2],
        activation: Activation.Relu,
      };
      const made = layer(730 + type, options);
      const skipping = { ...made, shape: { ...made.shape, skip: true } };
      expect(differences(compare(skipping), compare(made))).toBe(0);

      // All activations zero: y is zero. (Rows of the same sign times inputs of the other would do; zeros do it for
      // every type.)
      const none = { ...skipping, x: new Float32Array(made.x.length) };
      expect(compare(none).every((v) => v === 0)).toBe(true);
    });

  test('counters add to what is there', () => {
    const { Q8_0 } = WeightType;
    const made = layer(740, {
      types: [Q8_0, Q8_0, Q8_0],
      width: 64,
      hidden: 64,
      counts: [2],
      activation: Activation.Relu,
    });
    libraries.both((desk) => {
      const stats = { stallNs: 1, late: 2, rowsTotal: 1000, rowsActive: 500 };
      const y = runJobs(desk, made, residentJobs(desk, made, 'none'), stats);
      expect(stats).toMatchObject({ stallNs: 1, late: 2, rowsTotal: 1128 });
      // About half of random gates are negative.
      expect(stats.rowsActive).toBeGreaterThan(500 + 32);
      expect(stats.rowsActive).toBeLessThan(500 + 96);
      return y;
    });
  });
});

describe('experts that land while the kernel runs', () => {
  const { Q4_K, Q6_K } = WeightType;
  const made = layer(800, {
    types: [Q4_K, Q4_K, Q6_K],
    width: 256,
    hidden: 512,
    counts: [2, 1, 3, 1, 1, 2],
    activation: Activation.Relu,
    skip: true,
  });

  test('words that are ready change nothing', () => {
    const results = (['none', 'three', 'one'] as const).map(
      (words) =>
        libraries.both((desk) => runJobs(desk, made, residentJobs(desk, made, words), noStats())).actual,
    );
    expect(differences(results[1]!, results[0]!)).toBe(0);
    expect(differences(results[2]!, results[0]!)).toBe(0);
  });

  /** Jobs whose matrices hold 0xff until they land, and their landings in order of job, then gate, up, down. */
  function pendingJobs(desk: Desk, spans: SharedSpans, pending: (job: number) => 'no' | 'three' | 'one') {
    const span = (bytes: number): Memory =>
      desk.kernels.isa === 'reference' ? spans.shared(bytes) : desk.zeros(bytes);
    const landings: Landing[] = [];
    const jobs = made.experts.map((expert, i): ExpertJob => {
      const { tokens, targets } = expert;
      const how = pending(i);
      const words = [span(4), span(4), span(4)] as const;
      const parts = (['gate', 'up', 'down'] as const).map((name, m) => {
        const data = span(expert[name].length);
        if (how === 'no') data.bytes.set(expert[name]);
        else {
          data.bytes.fill(0xff);
          // With one word for all, it is published after the last matrix; the others publish a spare word.
          const word = how === 'three' ? words[m]! : m === 2 ? words[0] : words[1];
          landings.push({ data, bytes: expert[name], word, value: 1 });
        }
        return data;
      });
      return {
        gate: parts[0]!,
        up: parts[1]!,
        down: parts[2]!,
        ready: how === 'no' ? null : how === 'one' ? [words[0], words[0], words[0]] : words,
        tokens,
        targets,
      };
    });
    return { jobs, landings };
  }

  function shuffled<T>(items: readonly T[], random: Random): T[] {
    return items
      .map((item) => ({ item, key: random.uniform() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  }

  test.each([
    ['reference', 1],
    ['native', 1],
    ['native', 2],
    ['native', 3],
  ] as const)('in any order, %s with %i threads: the bits of resident experts', async (which, threads) => {
    const kernels = libraries[which];
    kernels.setThreads(threads);
    const desk = new Desk(kernels);
    const resident = runJobs(desk, made, residentJobs(desk, made, 'none'), noStats());
    for (let n = 0; n < 4; n++) {
      const random = new Random(n);
      const spans = new SharedSpans();
      const style = ['three', 'one', 'three', 'one'] as const;
      // First all pending, then some resident.
      const { jobs, landings } = pendingJobs(desk, spans, (i) => (n > 1 && i % 3 === 0 ? 'no' : style[n]!));
      // Matrices of one job with one word stay in order; apart from that anything goes.
      const order = n % 2 === 0 ? shuffled(landings, random) : landings.reverse().sort(byWordLast);
      const thread = new LandingThread(order, spans);
      await thread.ready();
      const stats = noStats();
      thread.go();
      const y = runJobs(desk, made, jobs, stats);
      await thread.ended();
      expect(differences(y, resident)).toBe(0);
      expect(stats.late).toBeLessThanOrEqual(jobs.filter((j) => j.ready).length);
      expect(stats.rowsTotal).toBe(made.yRows * made.shape.hidden);
      expect(stats.stallNs).toBeGreaterThanOrEqual(0);
    }
    desk.close();

    /** Spare words first, so that a job's only word comes after all of its matrices. */
    function byWordLast(a: Landing, b: Landing): number {
      const last = (l: Landing) => (l.bytes === made.experts.find((e) => e.down === l.bytes)?.down ? 1 : 0);
      return last(a) - last(b);
    }
  });

  test.each(['reference', 'native'] as const)('a read that failed names its job: %s', async (which) => {
    const kernels = libraries[which];
    kernels.setThreads(2);
    const desk = new Desk(kernels);
    const x = desk.floats(made.x);
    const y = desk.zeros(made.yRows * made.shape.width * 4);
    for (const job of [0, 3, 5])
      for (const part of [0, 1, 2]) {
        const jobs = residentJobs(desk, made, 'three');
        jobs[job]!.ready![part]!.i32[0] = -5;
        expect(kernels.expertsFfn(made.shape, jobs, x, made.xStride, y, made.shape.width, noStats())).toBe(
          job,
        );
      }

    // The failure arrives while the kernel waits.
    const spans = new SharedSpans();
    const { jobs, landings } = pendingJobs(desk, spans, (i) => (i === 2 ? 'three' : 'no'));
    const thread = new LandingThread([landings[1]!, { ...landings[0]!, value: -10002 }, landings[2]!], spans);
    await thread.ready();
    thread.go();
    expect(kernels.expertsFfn(made.shape, jobs, x, made.xStride, y, made.shape.width, noStats())).toBe(2);
    await thread.ended();

    // The library works on.
    const after = runJobs(desk, made, residentJobs(desk, made, 'one'), noStats());
    expect(after.every(Number.isFinite)).toBe(true);
    desk.close();
  });
});
