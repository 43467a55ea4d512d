import type { AttentionOptions } from '../kernels.js';
import { dequantiseRow } from './dequantise.js';
import { cacheRowBytes } from './kv-cache.js';

const { exp, floor, fround, max } = Math;

/**
 * `pm_attention`: causal grouped-query attention over a cache. Each key and value row is decoded once per call;
 * sums are in double precision, scores and weights rounded to float32.
 */
export class Attention {
  #keys = new Float32Array(0);
  #values = new Float32Array(0);
  #scores = new Float32Array(0);
  #sum = new Float64Array(0);

  get byteLength(): number {
    return this.#keys.byteLength + this.#values.byteLength + this.#scores.byteLength + this.#sum.byteLength;
  }

  run(
    q: Float32Array,
    qStride: number,
    cacheK: Uint8Array,
    cacheV: Uint8Array,
    out: Float32Array,
    outStride: number,
    tokens: number,
    pos0: number,
    options: AttentionOptions,
  ): void {
    const { heads, kvHeads, headSize, window, type } = options;
    if (kvHeads < 1 || heads % kvHeads !== 0)
      throw new RangeError(`${heads} heads cannot share ${kvHeads} key-value heads evenly`);
    const scale = fround(options.scale);
    const width = kvHeads * headSize;
    const first = window > 0 ? max(0, pos0 - window + 1) : 0;
    const count = pos0 + tokens - first;
    this.#reserve(count * width, count, headSize);
    const keys = this.#keys;
    const values = this.#values;
    const scores = this.#scores;
    const sum = this.#sum;
    decodeRows(type, cacheK, width, first, count, keys);
    decodeRows(type, cacheV, width, first, count, values);

    for (let t = 0; t < tokens; t++) {
      // Rows of the decoded span that this token sees.
      const to = pos0 + t + 1 - first;
      const from = window > 0 ? max(0, to - window) : 0;
      for (let h = 0; h < heads; h++) {
        const qAt = t * qStride + h * headSize;
        const kvAt = floor(h / (heads / kvHeads)) * headSize;
        let largest = -Infinity;
        for (let j = from; j < to; j++) {
          const kAt = j * width + kvAt;
          let dot = 0;
          for (let d = 0; d < headSize; d++) dot += q[qAt + d]! * keys[kAt + d]!;
          const score = fround(fround(dot) * scale);
          scores[j] = score;
          if (score > largest) largest = score;
        }
        let total = 0;
        sum.fill(0, 0, headSize);
        for (let j = from; j < to; j++) {
          const weight = fround(exp(fround(scores[j]! - largest)));
          total += weight;
          const vAt = j * width + kvAt;
          for (let d = 0; d < headSize; d++) sum[d]! += weight * values[vAt + d]!;
        }
        const outAt = t * outStride + h * headSize;
        for (let d = 0; d < headSize; d++) out[outAt + d] = sum[d]! / total;
      }
    }
  }

  #reserve(elements: number, positions: number, headSize: number): void {
    if (this.#keys.length < elements) {
      this.#keys = new Float32Array(elements);
      this.#values = new Float32Array(elements);
    }
    if (this.#scores.length < positions) this.#scores = new Float32Array(positions);
    if (this.#sum.length < headSize) this.#sum = new Float64Array(headSize);
  }
}

/** Cache rows first … first + count as float32. */
function decodeRows(
  type: number,
  cache: Uint8Array,
  width: number,
  first: number,
  count: number,
  out: Float32Array,
): void {
  const bytes = cacheRowBytes(type, width);
  // Rows lie one after the other, so all of them are one long row.
  dequantiseRow(type, cache.subarray(first * bytes, (first + count) * bytes), count * width, out);
}
