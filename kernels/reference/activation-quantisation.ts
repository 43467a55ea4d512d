import { f16ToF32, f32ToF16 } from './float16.js';

const { abs, floor, fround, max, min } = Math;

/**
 * Rounds one block of 32 activations to int8 by the Q8_0 rule: scale = amax / 127 rounded to half precision,
 * integer = round(x · (127 / amax)) with halves away from zero. Returns the scale.
 *
 * A block so small that 127 / amax overflows has a scale of zero, and its integers are zero.
 */
export function quantiseQ8Block(x: Float32Array, at: number, ints: Int8Array, i: number): number {
  let amax = 0;
  for (let j = 0; j < 32; j++) amax = max(amax, abs(x[at + j]!));
  const inverse = amax > 0 ? fround(127 / amax) : 0;
  if (inverse === 0 || inverse === Infinity) {
    ints.fill(0, i, i + 32);
    return f16ToF32(f32ToF16(amax / 127));
  }
  for (let j = 0; j < 32; j++) {
    const v = fround(x[at + j]! * inverse);
    ints[i + j] = v < 0 ? -floor(0.5 - v) : floor(v + 0.5);
  }
  return f16ToF32(f32ToF16(amax / 127));
}

/** Nearest integer of a float32 of magnitude < 2^22, halves to even: adding 1.5·2^23 leaves no fraction bits. */
function roundEven(v: number): number {
  return fround(v + 12582912) - 12582912;
}

/**
 * Rounds one block of 256 activations to int8 by the Q8_K rule: with m the value of largest magnitude (the first
 * of several), inverse = -127 / m, integer = min(127, round(inverse · x)) with halves to even, scale = 1 / inverse
 * in float32. Returns the scale; a block of zeros, or one so small that 127 / m overflows, gives zeros.
 */
export function quantiseQ8KBlock(x: Float32Array, at: number, ints: Int8Array, i: number): number {
  let amax = 0;
  let extreme = 0;
  for (let j = 0; j < 256; j++) {
    const v = x[at + j]!;
    const magnitude = abs(v);
    if (magnitude > amax) {
      amax = magnitude;
      extreme = v;
    }
  }
  const inverse = amax > 0 ? fround(-127 / extreme) : 0;
  if (inverse === 0 || abs(inverse) === Infinity) {
    ints.fill(0, i, i + 256);
    return 0;
  }
  for (let j = 0; j < 256; j++) ints[i + j] = min(127, roundEven(fround(inverse * x[at + j]!)));
  return fround(1 / inverse);
}

/**
 * Activations of several tokens as int8 blocks of one size, with the sum of every 16 integers, which the offsets of
 * weights multiply. Grows to the largest batch it has held.
 */
export class QuantisedActivation {
  ints = new Int8Array(0);
  scales = new Float64Array(0);
  sums = new Int32Array(0);
  cols = 0;

  constructor(readonly blockSize: 32 | 256) {}

  get byteLength(): number {
    return this.ints.byteLength + this.scales.byteLength + this.sums.byteLength;
  }

  /** Makes room for `tokens` rows of `cols`, a multiple of the block size. */
  reserve(tokens: number, cols: number): void {
    this.cols = cols;
    const size = tokens * cols;
    if (this.ints.length >= size) return;
    this.ints = new Int8Array(size);
    this.scales = new Float64Array(size / 32);
    this.sums = new Int32Array(size / 16);
  }

  /** Quantises row `t` from x[at…]. */
  setRow(t: number, x: Float32Array, at: number): void {
    const { ints, scales, sums, cols, blockSize } = this;
    const base = t * cols;
    const quantise = blockSize === 32 ? quantiseQ8Block : quantiseQ8KBlock;
    for (let c = 0; c < cols; c += blockSize)
      scales[(base + c) / blockSize] = quantise(x, at + c, ints, base + c);
    for (let i = base; i < base + cols; i += 16) {
      let sum = 0;
      for (let j = i; j < i + 16; j++) sum += ints[j]!;
      sums[i >> 4] = sum;
    }
  }
}
