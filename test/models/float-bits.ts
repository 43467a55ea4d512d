// As in random.ts: a global is slow to look up under jest.
const { abs, floor } = Math;

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** IEEE half of a number, rounded to nearest even; too large becomes infinity. */
export function halfBits(value: number): number {
  float[0] = value;
  const x = bits[0]!;
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  // Subnormal halves are multiples of 2^-24.
  if (magnitude < 0x38800000) return sign | roundHalfEven(abs(float[0]!) * 16777216);
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** bfloat16 of a number, rounded to nearest even. */
export function brainBits(value: number): number {
  float[0] = value;
  const x = bits[0]!;
  return ((x + 0x7fff + ((x >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundHalfEven(x: number): number {
  const low = floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}
