import { RopePairing, type RopeOptions } from '../../kernels/kernels.js';
import { cacheRowBytes } from '../../kernels/reference/kv-cache.js';
import { WeightType } from '../../kernels/weight-type.js';
import { rootMeanSquareError } from '../kernels/closeness.js';
import { Random, typeName } from '../kernels/random.js';
import { referenceResult } from './reference-result.js';
import { GUARD, type Closeness, type Vector } from './vector-file.js';

const CACHE_TYPES = [WeightType.F32, WeightType.F16, WeightType.Q8_0];

/** As relativeError in test/kernels: the differences relative to the size of what is expected. */
function relative(tolerance: number, expected: Float32Array): Closeness {
  const size = rootMeanSquareError(expected, new Float32Array(expected.length));
  return { kind: 'rms', limit: tolerance * (size || 1) };
}

/** Numbers in rows of `width`, the rest of each stride the guard. */
function withGaps(random: Random, rows: number, width: number, stride: number, scale = 1): Float32Array {
  const x = random.floats(rows * stride, scale);
  for (let r = 0; r < rows; r++) x.fill(GUARD, r * stride + width, (r + 1) * stride);
  return x;
}

function rmsNormVectors(): Vector[] {
  const shapes = [
    [1, 1, 1],
    [3, 1, 31],
    [2, 5, 64],
    [8, 3, 33],
    [1, 1, 2560],
  ] as const;
  return shapes.flatMap(([tokens, groups, cols]) =>
    [1, 1e-4, 1e12, 0].map((scale): Vector => {
      const random = new Random(tokens * 100 + cols);
      const [xStride, outStride] = [groups * cols + 1, groups * cols + 2];
      const eps = 1e-6;
      const weight = random.floats(cols);
      const x = withGaps(random, tokens, groups * cols, xStride, scale);
      const before = new Float32Array(tokens * outStride).fill(GUARD);
      const expected = referenceResult((desk) => {
        const out = desk.floats(before);
        desk.kernels.rmsNorm(
          ...([desk.floats(x), xStride, desk.floats(weight), out, outStride] as const),
          ...([tokens, groups, cols, eps] as const),
        );
        return out.f32;
      });
      return {
        kernel: 'rms_norm',
        name: `rms_norm ${tokens} tokens, ${groups} groups of ${cols}, values of about ${scale}`,
        numbers: [xStride, outStride, tokens, groups, cols, eps],
        inputs: [x, weight],
        before,
        expected,
        // Three float32 roundings; every result by itself, since the gaps count in none.
        closeness: { kind: 'each', relative: 3e-7, absolute: 0 },
      };
    }),
  );
}

function ropeVectors(): Vector[] {
  const shapes = [
    [1, 1, 8, 8, 0, 10000],
    [3, 5, 64, 64, 1, 10000],
    [2, 4, 128, 128, 1000, 1e6],
    [8, 2, 80, 40, 7, 500000],
    [1, 3, 20, 12, 4095, 10000],
  ] as const;
  return Object.entries(RopePairing).flatMap(([pairingName, pairing]) =>
    shapes.flatMap(([tokens, heads, headSize, dims, pos0, freqBase]) =>
      [false, true].map((divided): Vector => {
        const random = new Random(tokens + headSize);
        const stride = heads * headSize + 4;
        const before = withGaps(random, tokens, heads * headSize, stride);
        // What is not turned must not be written either.
        for (let t = 0; t < tokens; t++)
          for (let h = 0; h < heads; h++) {
            const head = t * stride + h * headSize;
            before.fill(GUARD, head + dims, head + headSize);
          }
        const factors = divided
          ? Float32Array.from({ length: dims / 2 }, () => 1 + random.uniform() * 7)
          : new Float32Array();
        const freqScale = divided ? 0.25 : 1;
        const expected = referenceResult((desk) => {
          const x = desk.floats(before);
          const options: RopeOptions = {
            ...{ heads, headSize, dims, freqBase, freqScale, pairing },
            factors: divided ? desk.floats(factors) : null,
          };
          desk.kernels.rope(x, stride, tokens, pos0, options);
          return x.f32;
        });
        const turned = expected.map((v) => (v === GUARD ? 0 : v));
        return {
          kernel: 'rope',
          name: `rope ${pairingName}, ${tokens} tokens from ${pos0}, ${heads} heads of ${headSize}, ${dims} turned${divided ? ', with divisors' : ''}`,
          numbers: [stride, tokens, heads, headSize, dims, pos0, freqBase, freqScale, pairing],
          inputs: [factors],
          before,
          expected,
          // Angles are multiplied up in float32 from a power that may differ in its last bit.
          closeness: relative(3e-7 + (pos0 + tokens) * 1.2e-7, turned),
        };
      }),
    ),
  );
}

function kvStoreVectors(): Vector[] {
  const shapes = [
    [1, 0, 1, 32],
    [3, 5, 2, 64],
    [8, 1, 3, 96],
  ] as const;
  return CACHE_TYPES.flatMap((type) =>
    shapes.map(([tokens, pos0, kvHeads, headSize]): Vector => {
      const random = new Random(type);
      const width = kvHeads * headSize;
      const stride = width + 5;
      const k = random.floats(tokens * stride, 3);
      const v = random.floats(tokens * stride, 1e-3);
      // Ties of the rounding to halves and to int8, zeros, values beyond the largest half, denormal halves.
      k.set([0, -0, 2049, 2051, 1e6, -1e6, 1e-7, 6e-8, 0.5, 1.5]);
      v.fill(0, 0, 32);
      const size = (pos0 + tokens + 1) * cacheRowBytes(type, width);
      const before = new Uint8Array(2 * size).fill(0xee);
      const expected = referenceResult((desk) => {
        const both = desk.bytes(before);
        const [cacheK, cacheV] = [both.slice(0, size), both.slice(size)];
        desk.kernels.kvStore(
          ...([desk.floats(k), desk.floats(v), stride, cacheK, cacheV, type] as const),
          ...([tokens, pos0, kvHeads, headSize] as const),
        );
        return both.bytes;
      });
      return {
        kernel: 'kv_store',
        name: `kv_store ${typeName(type)}, ${tokens} tokens from ${pos0}, ${kvHeads} heads of ${headSize}`,
        numbers: [stride, type, tokens, pos0, kvHeads, headSize, size],
        inputs: [k, v],
        before,
        expected,
        closeness: { kind: 'same bits' },
      };
    }),
  );
}

type AttentionShape = readonly [
  tokens: number,
  pos0: number,
  heads: number,
  kvHeads: number,
  headSize: number,
  window: number,
];

function attention(
  type: number,
  [tokens, pos0, heads, kvHeads, headSize, window]: AttentionShape,
  size: number,
  tolerance: number,
): Vector {
  const random = new Random(type * 1000 + tokens + pos0);
  const width = kvHeads * headSize;
  const positions = pos0 + tokens;
  const qStride = heads * headSize + 3;
  const outStride = heads * headSize + 1;
  const scale = Math.fround(1 / Math.sqrt(headSize));
  const q = random.floats(tokens * qStride);
  const k = random.floats(positions * width, size);
  const v = random.floats(positions * width);
  const rowBytes = cacheRowBytes(type, width);
  // The cache ends with its last row; rows that the window hides from all queries hold NaN.
  const caches = [k, v].map((x) =>
    referenceResult((desk) => {
      const cache = desk.zeros(positions * rowBytes);
      const other = desk.zeros(positions * rowBytes);
      desk.kernels.kvStore(
        ...([desk.floats(x), desk.floats(x), width, cache, other, type] as const),
        ...([positions, 0, kvHeads, headSize] as const),
      );
      return cache.bytes.fill(0xff, 0, window > 0 ? Math.max(0, pos0 - window + 1) * rowBytes : 0);
    }),
  );
  const before = new Float32Array(tokens * outStride).fill(GUARD);
  const expected = referenceResult((desk) => {
    const out = desk.floats(before);
    desk.kernels.attention(
      ...([desk.floats(q), qStride, desk.bytes(caches[0]!), desk.bytes(caches[1]!), out, outStride] as const),
      ...([tokens, pos0, { type, heads, kvHeads, headSize, window, scale }] as const),
    );
    return out.f32;
  });
  const results = expected.filter((_, i) => i % outStride < heads * headSize);
  return {
    kernel: 'attention',
    name: `attention ${typeName(type)}, ${tokens} tokens from ${pos0}, ${heads} heads, ${kvHeads} for keys, of ${headSize}, window ${window}`,
    numbers: [qStride, type, outStride, tokens, pos0, heads, kvHeads, headSize, window, scale],
    inputs: [q, ...caches],
    before,
    expected,
    closeness: relative(tolerance * Math.sqrt(results.length / expected.length), results),
  };
}

function attentionVectors(): Vector[] {
  const shapes: AttentionShape[] = [
    [1, 0, 1, 1, 32, 0],
    [1, 70, 4, 2, 64, 0],
    [3, 5, 6, 2, 96, 4],
    [5, 0, 3, 3, 64, 1],
    [8, 40, 8, 1, 128, 32],
    [2, 300, 4, 4, 32, 0],
    // Long contexts are taken in segments: one query, a batch, a window that begins inside a segment.
    [1, 1300, 2, 1, 32, 0],
    [19, 1015, 2, 2, 32, 0],
    [1, 1100, 4, 4, 32, 600],
  ];
  return CACHE_TYPES.flatMap((type) => [
    // An error of 1e-6 in a score of about ten changes a weight by that much.
    ...shapes.map((shape) => attention(type, shape, 1, 3e-6)),
    // Scores of about 300: their float32 rounding alone moves weights by 3e-5.
    attention(type, [3, 20, 2, 1, 64, 0], 300, 1e-4),
    ...(type === WeightType.Q8_0
      ? []
      : [20, 80].map((headSize) => attention(type, [3, 10, 4, 2, headSize, 6], 1, 3e-6))),
  ]);
}

/** What happens to tokens between the matrices: norms, positions, attention over a cache. */
export const tokenVectors = (): Vector[] => [
  ...rmsNormVectors(),
  ...ropeVectors(),
  ...kvStoreVectors(),
  ...attentionVectors(),
];
