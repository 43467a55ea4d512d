import { extremeOf, nearest, writeHalf } from './rounding.js';

/** Quantisers of the K types; layouts are described in `k-blocks.ts`. */

interface Rounded {
  /** Integer scale and offset of each sub-block, and 256 integers. */
  readonly scales: Int8Array;
  readonly minima: Uint8Array;
  readonly q: Uint8Array;
}

/**
 * Types with offsets: each sub-block's range, widened to hold zero, becomes 0 … highest; scales and minima are then
 * rounded to `bits` bits under one half each, written at bytes[dAt] and bytes[dAt + 2].
 */
function withMinima(
  x: Float32Array,
  at: number,
  subBlock: number,
  highest: number,
  bits: number,
  bytes: Uint8Array,
  dAt: number,
): Rounded {
  const count = 256 / subBlock;
  const steps = new Float64Array(count);
  const lows = new Float64Array(count);
  for (let s = 0; s < count; s++) {
    const block = x.subarray(at + s * subBlock, at + (s + 1) * subBlock);
    lows[s] = -Math.min(0, ...block);
    steps[s] = (Math.max(0, ...block) + lows[s]!) / highest;
  }
  const largest = (1 << bits) - 1;
  const d = writeHalf(bytes, dAt, Math.max(...steps) / largest);
  const dmin = writeHalf(bytes, dAt + 2, Math.max(...lows) / largest);
  const scales = Int8Array.from(steps, (v) => nearest(v, d, 0, largest));
  const minima = Uint8Array.from(lows, (v) => nearest(v, dmin, 0, largest));
  const q = Uint8Array.from({ length: 256 }, (_, i) => {
    const s = Math.floor(i / subBlock);
    return nearest(x[at + i]! + dmin * minima[s]!, d * scales[s]!, 0, highest);
  });
  return { scales, minima, q };
}

/**
 * Types without: each sub-block's extreme value becomes the lowest integer, -half; the signed scales are rounded to
 * -largest … largest - 1 under one half-precision number written at bytes[dAt]. Integers are returned plus `half`.
 */
function withSigns(
  x: Float32Array,
  at: number,
  half: number,
  largest: number,
  bytes: Uint8Array,
  dAt: number,
): Rounded {
  const steps = Float32Array.from({ length: 16 }, (_, s) => extremeOf(x, at + s * 16, 16) / -half);
  const d = writeHalf(bytes, dAt, extremeOf(steps, 0, 16) / -largest);
  const scales = Int8Array.from(steps, (v) => nearest(v, d, -largest, largest - 1));
  const q = Uint8Array.from(
    { length: 256 },
    (_, i) => nearest(x[at + i]!, d * scales[i >> 4]!, -half, half - 1) + half,
  );
  return { scales, minima: new Uint8Array(16), q };
}

export function quantiseQ2K(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const { scales, minima, q } = withMinima(x, at, 16, 3, 4, bytes, to + 80);
  for (let s = 0; s < 16; s++) bytes[to + s] = scales[s]! | (minima[s]! << 4);
  writeTwoBits(bytes, to + 16, q);
}

export function quantiseQ3K(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const { scales, q } = withSigns(x, at, 4, 32, bytes, to + 108);
  bytes.fill(0, to, to + 32);
  for (let i = 0; i < 256; i++) bytes[to + (i & 31)]! |= (q[i]! >> 2) << (i >> 5);
  writeTwoBits(bytes, to + 32, q);
  bytes.fill(0, to + 96, to + 108);
  for (let s = 0; s < 16; s++) {
    const scale = scales[s]! + 32;
    bytes[to + 96 + (s & 7)]! |= (scale & 15) << (s < 8 ? 0 : 4);
    bytes[to + 104 + (s & 3)]! |= (scale >> 4) << (2 * (s >> 2));
  }
}

export function quantiseQ4K(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const { scales, minima, q } = withMinima(x, at, 32, 15, 6, bytes, to);
  writeSixBitScales(bytes, to + 4, scales, minima);
  writeNibbleRuns(bytes, to + 16, q);
}

export function quantiseQ5K(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const { scales, minima, q } = withMinima(x, at, 32, 31, 6, bytes, to);
  writeSixBitScales(bytes, to + 4, scales, minima);
  bytes.fill(0, to + 16, to + 48);
  for (let i = 0; i < 256; i++) bytes[to + 16 + (i & 31)]! |= (q[i]! >> 4) << (i >> 5);
  writeNibbleRuns(bytes, to + 48, q);
}

export function quantiseQ6K(x: Float32Array, at: number, bytes: Uint8Array, to: number): void {
  const { scales, q } = withSigns(x, at, 32, 128, bytes, to + 208);
  bytes.fill(0, to, to + 192);
  for (let i = 0; i < 256; i++) {
    const inHalf = i & 127;
    const half = i >> 7;
    bytes[to + half * 64 + (inHalf & 63)]! |= (q[i]! & 15) << (inHalf < 64 ? 0 : 4);
    bytes[to + 128 + half * 32 + (i & 31)]! |= (q[i]! >> 4) << (2 * (inHalf >> 5));
  }
  for (let s = 0; s < 16; s++) bytes[to + 192 + s] = scales[s]!;
}

/** The low two bits of 256 integers: 32 bytes hold four runs of 32. */
function writeTwoBits(bytes: Uint8Array, at: number, q: Uint8Array): void {
  for (let h = 0; h < 2; h++)
    for (let l = 0; l < 32; l++) {
      let byte = 0;
      for (let r = 0; r < 4; r++) byte |= (q[h * 128 + r * 32 + l]! & 3) << (2 * r);
      bytes[at + h * 32 + l] = byte;
    }
}

/** The low nibbles of 256 integers: 32 bytes hold two runs of 32. */
function writeNibbleRuns(bytes: Uint8Array, at: number, q: Uint8Array): void {
  for (let c = 0; c < 4; c++)
    for (let l = 0; l < 32; l++)
      bytes[at + c * 32 + l] = (q[c * 64 + l]! & 15) | ((q[c * 64 + 32 + l]! & 15) << 4);
}

/** Eight scales and eight minima of six bits in twelve bytes. */
function writeSixBitScales(bytes: Uint8Array, at: number, scales: Int8Array, minima: Uint8Array): void {
  for (let j = 0; j < 4; j++) {
    const scale = scales[j + 4]!;
    const minimum = minima[j + 4]!;
    bytes[at + j] = scales[j]! | ((scale >> 4) << 6);
    bytes[at + 4 + j] = minima[j]! | ((minimum >> 4) << 6);
    bytes[at + 8 + j] = (scale & 15) | ((minimum & 15) << 4);
  }
}
