import { dequantiseRow } from '../../kernels/reference/dequantise.js';
import { BLOCK_FORMATS } from '../../kernels/reference/block-formats.js';
import { quantiseRow } from '../../kernels/reference/quantise.js';
import { WEIGHT_TYPES, WeightType, rowBytes } from '../../kernels/weight-type.js';
import { rootMeanSquareError } from '../kernels/closeness.js';

import { ALL_TYPES, Random, randomWeights, typeName } from '../kernels/random.js';
import { referenceResult } from './reference-result.js';
import { GUARD, type Vector } from './vector-file.js';

/** As in test/kernels/linear.test.ts: relative to the size of the terms that are added up. */
const LINEAR = 1e-6;

interface Part {
  readonly type: number;
  readonly rows: number;
  readonly weights: Uint8Array;
}

/** Weights of a bell curve, rounded as a converter rounds them; randomWeights makes every bit pattern instead. */
export function roundedWeights(
  random: Random,
  type: number,
  rows: number,
  cols: number,
  scale = 1,
): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(type, cols));
  for (let r = 0; r < rows; r++)
    quantiseRow(type, random.floats(cols, scale), bytes.subarray(r * rowBytes(type, cols)));
  return bytes;
}

/** Root mean square of the sums that terms this large give when their signs are random. */
function termSize({ type, weights, rows }: Part, cols: number, x: Float32Array): number {
  const w = new Float32Array(rows * cols);
  dequantiseRow(type, weights, w.length, w);
  const zeros = new Float32Array(Math.max(w.length, x.length));
  return rootMeanSquareError(w, zeros) * rootMeanSquareError(x, zeros) * Math.sqrt(cols);
}

function linear(what: string, cols: number, parts: readonly Part[], x: Float32Array): Vector {
  const tokens = x.length / cols;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const [xStride, outStride] = [cols + 3, rows + 2];
  const strided = new Float32Array(tokens * xStride).fill(NaN);
  for (let t = 0; t < tokens; t++) strided.set(x.subarray(t * cols, (t + 1) * cols), t * xStride);
  const before = new Float32Array(tokens * outStride).fill(GUARD);
  const expected = referenceResult((desk) => {
    const out = desk.floats(before);
    const matrices = parts.map(({ type, rows, weights }) => ({
      ...{ type, layout: 0, rows, cols },
      memory: desk.bytes(weights),
    }));
    desk.kernels.linear(desk.kernels.group(matrices), desk.floats(strided), xStride, out, outStride, tokens);
    return out.f32;
  });
  const size = Math.max(...parts.map((part) => termSize(part, cols, x)));
  return {
    kernel: 'linear',
    name: `linear ${what}, ${rows} rows of ${cols}, ${tokens} tokens`,
    numbers: [cols, tokens, xStride, outStride, ...parts.flatMap(({ type, rows }) => [type, rows])],
    inputs: [strided, ...parts.map(({ weights }) => weights)],
    before,
    expected,
    // The gaps add to the count of numbers, not to their differences.
    closeness: { kind: 'rms', limit: LINEAR * size * Math.sqrt(rows / outStride) },
  };
}

function linearVectors(): Vector[] {
  const vectors: Vector[] = [];
  for (const type of ALL_TYPES) {
    const random = new Random(1000 + type);
    const { blockSize } = WEIGHT_TYPES.get(type)!;
    const widths = blockSize === 1 ? [1, 33, 100, 256] : [1, 2, 5, 4].map((blocks) => blocks * blockSize);
    const shapes = [
      [1, 3],
      [3, 1],
      [7, 8],
      [17, 3],
    ] as const;
    shapes.forEach(([rows, tokens], i) => {
      const cols = widths[i]!;
      const weights = (i % 2 ? roundedWeights : randomWeights)(random, type, rows, cols);
      const x = random.floats(tokens * cols, [1, 0.01, 30, 1][i]);
      vectors.push(linear(typeName(type), cols, [{ type, rows, weights }], x));
    });
    // One value far larger than all others, and a row of zeros.
    const cols = Math.max(2 * blockSize, 64);
    const lonely = random.floats(3 * cols, 1e-3).map((v, i) => (i < cols ? 0 : i % 67 === 5 ? v * 1e6 : v));
    vectors.push(
      linear(
        `${typeName(type)}, lonely values`,
        cols,
        [{ type, rows: 5, weights: randomWeights(random, type, 5, cols) }],
        lonely,
      ),
    );
  }
  const { Q4_0, Q5_1, Q4_K, Q6_K, F16, F32, Q8_0, MXFP4 } = WeightType;
  // Wide rows are taken in pieces, long batches in passes, many rows in chunks.
  for (const [rows, cols, tokens] of [
    [3, 4352, 3],
    [5, 256, 67],
    [517, 256, 1],
  ] as const)
    for (const type of [Q4_0, Q5_1, Q4_K, Q6_K, F16]) {
      const random = new Random(rows + type);
      const weights = randomWeights(random, type, rows, cols);
      vectors.push(linear(typeName(type), cols, [{ type, rows, weights }], random.floats(tokens * cols)));
    }
  const random = new Random(9);
  const parts = [Q4_K, F16, Q8_0, Q6_K, F32, MXFP4].map((type, i): Part => ({
    type,
    rows: 2 * i + 1,
    weights: randomWeights(random, type, 2 * i + 1, 512),
  }));
  for (const tokens of [1, 8])
    vectors.push(linear('six types at once', 512, parts, random.floats(tokens * 512)));
  return vectors;
}

function embedVectors(): Vector[] {
  return ALL_TYPES.map((type) => {
    const random = new Random(400 + type);
    const cols = WEIGHT_TYPES.get(type)!.blockSize === 1 ? 33 : 512;
    const rows = 9;
    const table = randomWeights(random, type, rows, cols);
    const ids = Int32Array.of(8, 0, 3, 3, 7);
    const before = new Float32Array(ids.length * cols);
    const expected = referenceResult((desk) => {
      const out = desk.floats(before);
      desk.kernels.embed({ type, layout: 0, rows, cols, memory: desk.bytes(table) }, ids, out);
      return out.f32;
    });
    return {
      kernel: 'embed',
      name: `embed ${typeName(type)}`,
      numbers: [type, rows, cols],
      inputs: [table, ids],
      before,
      expected,
      // Offsets are added: one rounding with a fused multiply-add, two without.
      closeness: BLOCK_FORMATS.get(type)?.hasOffsets ? { kind: 'rms', limit: 1e-7 } : { kind: 'same bits' },
    };
  });
}

/** Matrices of every weight type. */
export const matrixVectors = (): Vector[] => [...linearVectors(), ...embedVectors()];
