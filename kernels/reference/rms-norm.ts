const { fround, sqrt } = Math;

/** `pm_rms_norm`: y = x / sqrt(mean(x²) + eps) · weight, for every token and group of `cols` floats. */
export function rmsNorm(
  x: Float32Array,
  xStride: number,
  weight: Float32Array,
  out: Float32Array,
  outStride: number,
  tokens: number,
  groups: number,
  cols: number,
  eps: number,
): void {
  for (let t = 0; t < tokens; t++)
    for (let g = 0; g < groups; g++) {
      const from = t * xStride + g * cols;
      const to = t * outStride + g * cols;
      let squares = 0;
      for (let c = 0; c < cols; c++) squares += x[from + c]! * x[from + c]!;
      const scale = fround(1 / sqrt(squares / cols + eps));
      for (let c = 0; c < cols; c++) out[to + c] = fround(x[from + c]! * scale) * weight[c]!;
    }
}
