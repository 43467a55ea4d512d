/** Exact conversions between float32 and the two 16-bit floats; to 16 bits rounding is to nearest even. */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Value of every IEEE half, indexed by its 16 bits: a look-up is faster than assembling the number. */
export const HALF_VALUES: Float32Array = Float32Array.from({ length: 65536 }, (_, bits) => halfValue(bits));

/** IEEE half → number, exact. */
export function f16ToF32(bits: number): number {
  return HALF_VALUES[bits & 0xffff]!;
}

/** Number (first rounded to float32) → bits of the nearest IEEE half; overflow gives infinity, NaN a quiet NaN. */
export function f32ToF16(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 = halfway between the largest half and 65536.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 halves are multiples of 2^-24. Adding 2^-1 in float32 rounds to that step, ties to even.
    f32[0] = Math.abs(f32[0]!) + 0.5;
    return sign | (u32[0]! - 0x3f000000);
  }
  const even = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + even) >>> 13);
}

/** bfloat16 → number, exact. */
export function bf16ToF32(bits: number): number {
  u32[0] = bits << 16;
  return f32[0]!;
}

/** Number (first rounded to float32) → bits of the nearest bfloat16; NaN stays a NaN. */
export function f32ToBf16(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 64;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
