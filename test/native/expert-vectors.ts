import { Activation, Gating, type ExpertRunStats } from '../../kernels/kernels.js';
import { BLOCK_FORMATS } from '../../kernels/reference/block-formats.js';
import { WeightType } from '../../kernels/weight-type.js';
import { ALL_TYPES, Random, randomWeights, typeName } from '../kernels/random.js';
import { roundedWeights } from './matrix-vectors.js';
import { referenceResult } from './reference-result.js';
import { GUARD, type Vector } from './vector-file.js';

interface Routing {
  readonly experts: number;
  readonly k: number;
  readonly groups: number;
  readonly groupsUsed: number;
  readonly gating: number;
  readonly bias: Float32Array | null;
  readonly normalise: boolean;
  readonly logits: Float32Array;
}

function route(what: string, routing: Routing): Vector {
  const { experts, k, groups, groupsUsed, gating, bias, normalise, logits } = routing;
  const tokens = logits.length / experts;
  const scale = 2.5;
  const expected = referenceResult((desk) => {
    const ids = new Int32Array(tokens * k);
    const weights = new Float32Array(tokens * k);
    const options = { k, gating, bias: bias && desk.floats(bias), groups, groupsUsed, normalise, scale };
    desk.kernels.route(desk.floats(logits), tokens, experts, options, ids, weights);
    return Float32Array.from([...ids, ...weights]);
  });
  return {
    kernel: 'route',
    name: `route ${what}, ${k} of ${experts}, ${groupsUsed} of ${groups} groups${bias ? ', bias' : ''}${normalise ? ', normalised' : ''}`,
    numbers: [tokens, experts, k, gating, groups, groupsUsed, Number(normalise), scale],
    inputs: [logits, bias ?? new Float32Array()],
    // The ids as float32, then the weights.
    before: new Float32Array(expected.length),
    expected,
    // float32 exponentials, sums and a division; far below one between ids.
    closeness: { kind: 'each', relative: 1e-6, absolute: 0 },
  };
}

function routeVectors(): Vector[] {
  const shapes = [
    { experts: 1, k: 1, groups: 1, groupsUsed: 1 },
    { experts: 33, k: 7, groups: 1, groupsUsed: 1 },
    { experts: 64, k: 6, groups: 8, groupsUsed: 3 },
    { experts: 12, k: 3, groups: 4, groupsUsed: 2 },
    { experts: 128, k: 8, groups: 1, groupsUsed: 1 },
    // All ids, so that the whole order of equal scores shows.
    { experts: 32, k: 32, groups: 1, groupsUsed: 1 },
    { experts: 512, k: 512, groups: 1, groupsUsed: 1 },
  ];
  return Object.entries(Gating).flatMap(([name, gating]) =>
    shapes.flatMap((shape) => {
      const random = new Random(shape.experts + gating);
      const logits = random.floats(3 * shape.experts, 2);
      const bias = random.floats(shape.experts, 0.3);
      const base = { ...shape, gating, bias: null, normalise: false, logits };
      return [
        route(name, base),
        route(name, { ...base, bias, normalise: true }),
        route(`${name}, ties`, {
          ...base,
          logits: logits.map((v) => Math.round(v / 2)),
          bias: shape.groups > 1 ? bias.map((v) => Math.round(v * 2)) : null,
        }),
        // Sigmoids saturate at 17, in the middle of these.
        route(`${name}, far apart`, {
          ...base,
          logits: logits.map((v) => Math.round(v * 16)),
          normalise: true,
        }),
      ];
    }),
  );
}

interface Layer {
  readonly types: readonly [gate: number, up: number, down: number];
  readonly width: number;
  readonly hidden: number;
  /** Tokens of each expert. */
  readonly counts: readonly number[];
  readonly activation: number;
  readonly skip: boolean;
  readonly rounded?: boolean;
}

function experts(seed: number, layer: Layer): Vector {
  const { types, width, hidden, counts, activation, skip } = layer;
  const random = new Random(seed);
  const tokens = Math.max(3, ...counts);
  const rows = counts.reduce((a, b) => a + b, 0);
  const xStride = width + 1;
  const yStride = width + 3;
  const targets = Array.from({ length: rows }, (_, i) => i);
  for (let i = rows - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [targets[i], targets[j]] = [targets[j]!, targets[i]!];
  }
  let first = 0;
  const weights = layer.rounded ? roundedWeights : randomWeights;
  const jobs = counts.map((count) => {
    const token = random.below(tokens);
    const matrices = [
      weights(random, types[0], hidden, width, 1 / Math.sqrt(width)),
      weights(random, types[1], hidden, width, 1 / Math.sqrt(width)),
      weights(random, types[2], width, hidden, 1 / Math.sqrt(hidden)),
    ] as const;
    const from = first;
    first += count;
    return {
      matrices,
      tokens: Array.from({ length: count }, (_, i) => (token + i) % tokens),
      targets: targets.slice(from, first),
    };
  });
  const x = random.floats(tokens * xStride);
  for (let t = 0; t < tokens; t++) x[t * xStride + width] = NaN;
  const before = new Float32Array(rows * yStride).fill(GUARD);
  const stats: ExpertRunStats = { stallNs: 0, late: 0, rowsTotal: 0, rowsActive: 0 };
  const expected = referenceResult((desk) => {
    const y = desk.floats(before);
    const shape = {
      ...{ width, hidden, activation, skip },
      ...{ gateType: types[0], upType: types[1], downType: types[2] },
      ...{ gateLayout: 0, upLayout: 0, downLayout: 0 },
    };
    const calls = jobs.map(({ matrices: [gate, up, down], tokens, targets }) => ({
      ...{ gate: desk.bytes(gate), up: desk.bytes(up), down: desk.bytes(down) },
      ...{ ready: null, tokens, targets },
    }));
    desk.kernels.expertsFfn(shape, calls, desk.floats(x), xStride, y, yStride, stats);
    return y.f32;
  });
  return {
    kernel: 'experts',
    name: `experts ${types.map(typeName).join(' ')}, ${activation === Activation.Relu ? 'relu' : 'silu'}${skip ? ' with skip' : ''}, ${width} to ${hidden}, tokens ${counts.join(' ')}`,
    numbers: [
      ...[width, hidden, ...types, activation, Number(skip), xStride, yStride],
      ...[stats.rowsTotal, stats.rowsActive, ...counts],
    ],
    inputs: [
      Int32Array.from(jobs.flatMap((job) => job.tokens)),
      Int32Array.from(targets),
      x,
      ...jobs.flatMap((job) => job.matrices),
    ],
    before,
    expected,
    // As in test/kernels/experts-ffn.test.ts: an activation that differs in its last bit can be rounded to the next of
    // 127 steps; that happens to few rows.
    closeness: {
      kind: 'rows',
      ...{ width, stride: yStride, near: 3e-6, far: BLOCK_FORMATS.has(types[2]) ? 4e-3 : 3e-6 },
    },
  };
}

function expertsVectors(): Vector[] {
  const { Relu, Silu } = Activation;
  const { Q4_0, Q4_K, Q6_K, Q8_0, F16, MXFP4 } = WeightType;
  return [
    ...ALL_TYPES.map((type) =>
      experts(500 + type, {
        ...{ types: [type, type, type], width: 256, hidden: 256, counts: [1, 2] },
        ...{ activation: type % 2 ? Relu : Silu, skip: type % 2 === 1 },
      }),
    ),
    ...[Relu, Silu].flatMap((activation) =>
      [[1], [8], [1, 3, 8, 1, 2]].map((counts, i) =>
        experts(600 + i, {
          ...{ types: [Q4_K, Q4_K, Q6_K], width: 256, hidden: 512, counts, activation },
          ...{ skip: activation === Relu, rounded: true },
        }),
      ),
    ),
    experts(700, {
      ...{ types: [Q4_0, Q8_0, MXFP4], width: 96, hidden: 160, counts: [3, 1, 5] },
      ...{ activation: Relu, skip: true },
    }),
    experts(701, {
      ...{ types: [F16, Q4_0, F16], width: 64, hidden: 96, counts: [1, 1, 1, 1, 1, 1, 1] },
      ...{ activation: Relu, skip: false },
    }),
  ];
}

function combineVectors(): Vector[] {
  const shapes = [
    [1, 1, 1],
    [3, 2, 31],
    [5, 8, 64],
    [2, 3, 1027],
  ] as const;
  return shapes.map(([tokens, k, width]) => {
    const random = new Random(tokens + k + width);
    const [xStride, yStride, scale] = [width + 1, width + 2, Math.fround(0.7)];
    const before = random.floats(tokens * xStride);
    for (let t = 0; t < tokens; t++) before[t * xStride + width] = GUARD;
    const y = random.floats(tokens * k * yStride);
    const weights = random.floats(tokens * k);
    const expected = referenceResult((desk) => {
      const x = desk.floats(before);
      desk.kernels.combine(desk.floats(y), yStride, weights, tokens, k, width, scale, x, xStride);
      return x.f32;
    });
    return {
      kernel: 'combine',
      name: `combine ${tokens} tokens, ${k} experts, width ${width}`,
      numbers: [yStride, tokens, k, width, scale, xStride],
      inputs: [y, weights],
      before,
      expected,
      // A few float32 roundings of terms of about one.
      closeness: { kind: 'rms', limit: 3e-7 * Math.sqrt(k) },
    };
  });
}

function gatedVectors(): Vector[] {
  return Object.entries(Activation).flatMap(([name, activation]) =>
    [1, 3, 8, 17, 100, 1027].map((hidden): Vector => {
      const random = new Random(hidden);
      const tokens = 3;
      const stride = 2 * hidden + 1;
      const outStride = hidden + 1;
      const gateUp = random.floats(tokens * stride, 4);
      gateUp.set([0, -0, 1e-42, -200, 200, 1e30].slice(0, hidden));
      const before = new Float32Array(tokens * outStride).fill(GUARD);
      const expected = referenceResult((desk) => {
        const out = desk.floats(before);
        desk.kernels.gated(desk.floats(gateUp), stride, out, outStride, tokens, hidden, activation);
        return out.f32;
      });
      return {
        kernel: 'gated',
        name: `gated ${name}, ${hidden} wide`,
        numbers: [stride, outStride, tokens, hidden, activation],
        inputs: [gateUp],
        before,
        expected,
        closeness: { kind: 'each', relative: 5e-7, absolute: 1e-30 },
      };
    }),
  );
}

/** What belongs to experts: their choice, their work, the sum of what they say. */
export const expertVectors = (): Vector[] => [
  ...routeVectors(),
  ...expertsVectors(),
  ...combineVectors(),
  ...gatedVectors(),
];
