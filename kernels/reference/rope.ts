import { RopePairing, type RopeOptions } from '../kernels.js';

const { fround, pow } = Math;

/**
 * `pm_rope`: rotates pairs of each head's first `dims` values, in place. The angle of a pair is the angle of the
 * pair before it times freqBase^(-2/dims), every step rounded to float32: models are trained and compared with
 * angles made this way, and at long positions the roundings are visible.
 */
export function rope(
  x: Float32Array,
  stride: number,
  tokens: number,
  pos0: number,
  options: RopeOptions,
): void {
  const { heads, headSize, dims, pairing } = options;
  const pairs = dims / 2;
  const step = fround(pow(fround(options.freqBase), fround(-2 / dims)));
  const factors = options.factors?.f32;
  const apart = pairing === RopePairing.Halves ? pairs : 1;
  const between = pairing === RopePairing.Halves ? 1 : 2;
  for (let t = 0; t < tokens; t++) {
    let theta = fround(fround(pos0 + t) * fround(options.freqScale));
    for (let i = 0; i < pairs; i++) {
      const angle = factors ? fround(theta / factors[i]!) : theta;
      const cos = fround(Math.cos(angle));
      const sin = fround(Math.sin(angle));
      for (let h = 0; h < heads; h++) {
        const a = t * stride + h * headSize + i * between;
        const b = a + apart;
        const xa = x[a]!;
        const xb = x[b]!;
        x[a] = xa * cos - xb * sin;
        x[b] = xa * sin + xb * cos;
      }
      theta = fround(theta * step);
    }
  }
}
