/** Root of the mean squared difference. */
export function rootMeanSquareError(a: Float32Array, b: Float32Array): number {
  return Math.sqrt(a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0) / a.length);
}

/** Root mean squared difference relative to the root mean square of `expected`; absolute when that is zero. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  const size = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
  return rootMeanSquareError(actual, expected) / (size || 1);
}
