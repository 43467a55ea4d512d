import { f16ToF32, f32ToF16 } from './float16.js';

/** Writes `value` as a half and returns the value it has then. */
export function writeHalf(bytes: Uint8Array, at: number, value: number): number {
  const bits = f32ToF16(value);
  const rounded = f16ToF32(bits);
  if (!Number.isFinite(rounded)) throw new RangeError(`a scale of ${value} is too large for half precision`);
  bytes[at] = bits & 255;
  bytes[at + 1] = bits >> 8;
  return rounded;
}

/** The integer nearest to v / step between low and high; 0 (if allowed) when the step is 0. */
export function nearest(v: number, step: number, low: number, high: number): number {
  const q = step === 0 ? 0 : Math.round(v / step);
  return Math.min(high, Math.max(low, q));
}

/** The value of largest magnitude of x[at … at + n], with its sign. */
export function extremeOf(x: Float32Array, at: number, n: number): number {
  let extreme = 0;
  for (let i = at; i < at + n; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!;
  return extreme;
}
