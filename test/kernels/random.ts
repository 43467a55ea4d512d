import { WEIGHT_TYPES, WeightType, rowBytes } from '../../kernels/weight-type.js';
import { f32ToBf16, f32ToF16 } from '../../kernels/reference/float16.js';

// Local names: in a test's context a look-up of the global Math takes longer than the function.
const { imul, floor } = Math;
const SQRT_3 = Math.sqrt(3);

/** Deterministic random numbers for tests: the same seed gives the same sequence on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2654435761 + 0x9e3779b9) >>> 0;
  }

  /** 32 random bits (splitmix-like mixing of a counter). */
  bits(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = imul(z ^ (z >>> 16), 0x21f0aaad);
    z = imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** In [0, 1). */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** Integer in [0, n). */
  below(n: number): number {
    return floor(this.uniform() * n);
  }

  /** Roughly normal with standard deviation 1 (sum of four uniforms). */
  normal(): number {
    return (this.uniform() + this.uniform() + this.uniform() + this.uniform() - 2) * SQRT_3;
  }

  /** `n` normal float32 times `scale`. */
  floats(n: number, scale = 1): Float32Array {
    return Float32Array.from({ length: n }, () => this.normal() * scale);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

/** Where the half-precision numbers stand in a block of each type. */
const HALVES: ReadonlyMap<number, readonly number[]> = new Map([
  [WeightType.Q4_0, [0]],
  [WeightType.Q4_1, [0, 2]],
  [WeightType.Q5_0, [0]],
  [WeightType.Q5_1, [0, 2]],
  [WeightType.Q8_0, [0]],
  [WeightType.Q2_K, [80, 82]],
  [WeightType.Q3_K, [108]],
  [WeightType.Q4_K, [0, 2]],
  [WeightType.Q5_K, [0, 2]],
  [WeightType.Q6_K, [208]],
  [WeightType.IQ4_NL, [0]],
]);

/**
 * Random weights of a type in which every bit pattern of the integer fields occurs. Scales are random halves of
 * either sign of the size that makes weights of about `scale`; exponents of MXFP4 likewise.
 */
export function randomWeights(
  random: Random,
  type: number,
  rows: number,
  cols: number,
  scale = 1,
): Uint8Array {
  const { blockBytes } = WEIGHT_TYPES.get(type)!;
  const bytes = new Uint8Array(rows * rowBytes(type, cols));
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    if (type === WeightType.F32) view.setFloat32(at, random.normal() * scale, true);
    else if (type === WeightType.F16) view.setUint16(at, f32ToF16(random.normal() * scale), true);
    else if (type === WeightType.BF16) view.setUint16(at, f32ToBf16(random.normal() * scale), true);
    else {
      for (let i = 0; i < blockBytes; i++) bytes[at + i] = random.bits() >>> 24;
      if (type === WeightType.MXFP4) bytes[at] = 125 + Math.round(Math.log2(scale)) + random.below(4);
      for (const half of HALVES.get(type) ?? [])
        view.setUint16(at + half, f32ToF16((random.normal() * scale) / LARGEST_FACTOR.get(type)!), true);
    }
  }
  return bytes;
}

/** Roughly the largest integer factor that a scale meets in each type. */
const LARGEST_FACTOR: ReadonlyMap<number, number> = new Map([
  [WeightType.Q4_0, 8],
  [WeightType.Q4_1, 15],
  [WeightType.Q5_0, 16],
  [WeightType.Q5_1, 31],
  [WeightType.Q8_0, 127],
  [WeightType.Q2_K, 45],
  [WeightType.Q3_K, 128],
  [WeightType.Q4_K, 945],
  [WeightType.Q5_K, 1953],
  [WeightType.Q6_K, 4096],
  [WeightType.IQ4_NL, 127],
]);

export const ALL_TYPES: readonly number[] = [...WEIGHT_TYPES.keys()];

export function typeName(type: number): string {
  return WEIGHT_TYPES.get(type)!.name;
}
