import { WEIGHT_TYPES, WeightType, rowBytes } from '../weight-type.js';
import { FP4_DOUBLED, IQ4_NL_LEVELS } from './codebook-blocks.js';
import { f32ToBf16, f32ToF16 } from './float16.js';
import { quantiseQ2K, quantiseQ3K, quantiseQ4K, quantiseQ5K, quantiseQ6K } from './quantise-k.js';
import { extremeOf, nearest, writeHalf } from './rounding.js';

/** Writes one block of weights x[at…] to bytes[to…]. */
type BlockQuantiser = (x: Float32Array, at: number, bytes: Uint8Array, to: number) => void;

const BLOCK_QUANTISERS: ReadonlyMap<number, BlockQuantiser> = new Map([
  [WeightType.Q4_0, (x, at, bytes, to) => symmetric(x, at, bytes, to, 4)],
  [WeightType.Q4_1, (x, at, bytes, to) => shifted(x, at, bytes, to, 4)],
  [WeightType.Q5_0, (x, at, bytes, to) => symmetric(x, at, bytes, to, 5)],
  [WeightType.Q5_1, (x, at, bytes, to) => shifted(x, at, bytes, to, 5)],
  [WeightType.Q8_0, eightBits],
  [WeightType.Q2_K, quantiseQ2K],
  [WeightType.Q3_K, quantiseQ3K],
  [WeightType.Q4_K, quantiseQ4K],
  [WeightType.Q5_K, quantiseQ5K],
  [WeightType.Q6_K, quantiseQ6K],
  [WeightType.IQ4_NL, levels],
  [WeightType.MXFP4, fp4],
]);

/**
 * Rounds a row of weights to a weight type, into the first bytes of `bytes`. The scales come from each block's
 * range: valid and simple, not the least error that a search would find.
 * Throws RangeError for an unknown type, a length that fills no whole blocks, a short span, values that are not finite
 * or too large for the type's half-precision scale.
 */
export function quantiseRow(type: number, x: Float32Array, bytes: Uint8Array): void {
  const needed = rowBytes(type, x.length);
  if (bytes.length < needed)
    throw new RangeError(`${x.length} weights take ${needed} bytes, but ${bytes.length} were given`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === WeightType.F32) x.forEach((v, i) => view.setFloat32(i * 4, v, true));
  else if (type === WeightType.F16) x.forEach((v, i) => view.setUint16(i * 2, f32ToF16(v), true));
  else if (type === WeightType.BF16) x.forEach((v, i) => view.setUint16(i * 2, f32ToBf16(v), true));
  else {
    const wrong = x.findIndex((v) => !Number.isFinite(v));
    if (wrong >= 0)
      throw new RangeError(`weight ${wrong} is ${x[wrong]}; only finite weights can be rounded`);
    const { blockSize, blockBytes } = WEIGHT_TYPES.get(type)!;
    const quantise = BLOCK_QUANTISERS.get(type)!;
    for (let b = 0; b * blockSize < x.length; b++) quantise(x, b * blockSize, bytes, b * blockBytes);
  }
}

/** Sixteen bytes: weight j in the low nibble, weight j + 16 in the high one. */
function writeNibbles(bytes: Uint8Array, at: number, q: (j: number) => number): void {
  for (let j = 0; j < 16; j++) bytes[at + j] = (q(j) & 15) | ((q(j + 16) & 15) << 4);
}

/** The low nibbles of 32 integers, before them, when they have five bits, the word of fifth bits. */
function writeIntegers(bytes: Uint8Array, at: number, q: Uint8Array, bits: number): void {
  if (bits === 5) {
    for (let j = 0; j < 32; j += 8) {
      let byte = 0;
      for (let i = 0; i < 8; i++) byte |= (q[j + i]! >> 4) << i;
      bytes[at + j / 8] = byte;
    }
    at += 4;
  }
  writeNibbles(bytes, at, (j) => q[j]!);
}

/** Q4_0, Q5_0: the extreme value becomes the lowest integer. */
function symmetric(x: Float32Array, at: number, bytes: Uint8Array, to: number, bits: 4 | 5): void {
  const half = 1 << (bits - 1);
  const d = writeHalf(bytes, to, extremeOf(x, at, 32) / -half);
  const q = Uint8Array.from({ length: 32 }, (_, j) => nearest(x[at + j]!, d, -half, half - 1) + half);
  writeIntegers(bytes, to + 2, q, bits);
}

/** Q4_1, Q5_1: the smallest value becomes 0, the largest the highest integer. */
function shifted(x: Float32Array, at: number, bytes: Uint8Array, to: number, bits: 4 | 5): void {
  const block = x.subarray(at, at + 32);
  const highest = (1 << bits) - 1;
  const low = Math.min(...block);
  const d = writeHalf(bytes, to, (Math.max(...block) - low) / highest);
  const m = writeHalf(bytes, to + 2, low);
  writeIntegers(
    bytes,
    to + 4,
    Uint8Array.from(block, (v) => nearest(v - m, d, 0, highest)),
    bits,
  );
}

function eightBits(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const d = writeHalf(bytes, to, Math.abs(extremeOf(x, at, 32)) / 127);
  for (let j = 0; j < 32; j++) bytes[to + 2 + j] = nearest(x[at + j]!, d, -127, 127);
}

/** Index of the table's value nearest to v. */
function nearestIndex(table: Int8Array, v: number): number {
  let best = 0;
  for (let i = 1; i < table.length; i++) if (Math.abs(table[i]! - v) < Math.abs(table[best]! - v)) best = i;
  return best;
}

/** IQ4_NL: the extreme value becomes the level -127. */
function levels(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const d = writeHalf(bytes, to, extremeOf(x, at, 32) / -127);
  writeNibbles(bytes, to + 2, (j) => nearestIndex(IQ4_NL_LEVELS, d === 0 ? 0 : x[at + j]! / d));
}

/** MXFP4: the power of two that puts the extreme value between 4 and 8, of which 6 is the largest FP4. */
function fp4(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const extreme = Math.abs(extremeOf(x, at, 32));
  const exponent = extreme > 0 ? Math.min(254, Math.max(0, Math.floor(Math.log2(extreme)) - 2 + 127)) : 0;
  bytes[to] = exponent;
  const d = 2 ** (exponent - 128);
  writeNibbles(bytes, to + 1, (j) => nearestIndex(FP4_DOUBLED, x[at + j]! / d));
}
