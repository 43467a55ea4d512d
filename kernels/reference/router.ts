import { Gating, type RouteOptions } from '../kernels.js';
import { sortDescending } from './descending-sort.js';

const { exp, fround, max } = Math;

/** The smallest sum that weights are divided by: 2^-14, the smallest normal half. */
const SMALLEST_SUM = 6.103515625e-5;

/** `pm_route`: which experts each token uses and with what weights. Buffers grow to the most experts seen. */
export class Router {
  #gates = new Float32Array(0);
  #scores = new Float32Array(0);
  #groupScores = new Float32Array(0);
  #order = new Int32Array(0);

  get byteLength(): number {
    return (
      this.#gates.byteLength + this.#scores.byteLength + this.#groupScores.byteLength + this.#order.byteLength
    );
  }

  run(
    logits: Float32Array,
    tokens: number,
    experts: number,
    options: RouteOptions,
    ids: Int32Array,
    weights: Float32Array,
  ): void {
    const { k, gating, groups, groupsUsed, normalise } = options;
    if (k < 1 || k > experts) throw new RangeError(`${k} of ${experts} experts cannot be chosen`);
    if (groups > 1 && experts % groups !== 0)
      throw new RangeError(`${experts} experts do not form ${groups} equal groups`);
    if (this.#gates.length < experts) {
      this.#gates = new Float32Array(experts);
      this.#scores = new Float32Array(experts);
    }
    const bias = options.bias?.f32;
    const gates = this.#gates;
    const scores = this.#scores;
    const scale = fround(options.scale);
    for (let t = 0; t < tokens; t++) {
      const from = t * experts;
      for (let e = 0; e < experts; e++) gates[e] = logits[from + e]!;
      if (gating === Gating.Softmax) softmax(gates, 0, experts);
      else if (gating === Gating.Sigmoid)
        // every step in float32, as ggml does: where it saturates decides which scores are equal
        for (let e = 0; e < experts; e++) gates[e] = 1 / fround(1 + fround(exp(-gates[e]!)));
      else if (gating !== Gating.SoftmaxSelected) throw new RangeError(`gating ${gating} is not known`);
      for (let e = 0; e < experts; e++) {
        const score = bias ? gates[e]! + bias[e]! : gates[e]!;
        scores[e] = Number.isNaN(score) ? -Infinity : score;
      }
      if (groups > 1 && groupsUsed < groups) this.#keepGroups(experts, groups, groupsUsed);

      const to = t * k;
      this.#takeLargest(scores, experts, k, ids, to);
      for (let j = 0; j < k; j++) weights[to + j] = gates[ids[to + j]!]!;
      if (gating === Gating.SoftmaxSelected) softmax(weights, to, k);
      let sum = 0;
      for (let j = 0; j < k; j++) sum = fround(sum + weights[to + j]!);
      const divisor = normalise ? max(sum, SMALLEST_SUM) : 1;
      for (let j = 0; j < k; j++) weights[to + j] = fround(weights[to + j]! / divisor) * scale;
    }
  }

  /** Indices of the k largest of the first n scores, best first. */
  #takeLargest(scores: Float32Array, n: number, k: number, ids: Int32Array, at: number): void {
    if (this.#order.length < n) this.#order = new Int32Array(n);
    for (let e = 0; e < n; e++) this.#order[e] = e;
    sortDescending(this.#order, n, scores);
    for (let j = 0; j < k; j++) ids[at + j] = this.#order[j]!;
  }

  /** Sets the scores of all but the best `used` groups to -∞; a group's score is the sum of its two best. */
  #keepGroups(experts: number, groups: number, used: number): void {
    const scores = this.#scores;
    const size = experts / groups;
    if (this.#groupScores.length < groups) this.#groupScores = new Float32Array(groups);
    for (let g = 0; g < groups; g++) {
      let best = -Infinity;
      let second = -Infinity;
      for (let e = g * size; e < (g + 1) * size; e++) {
        const score = scores[e]!;
        if (score > best) {
          second = best;
          best = score;
        } else if (score > second) second = score;
      }
      this.#groupScores[g] = size > 1 ? best + second : best;
    }
    const kept = new Int32Array(used);
    this.#takeLargest(this.#groupScores, groups, used, kept, 0);
    for (let g = 0; g < groups; g++) if (!kept.includes(g)) scores.fill(-Infinity, g * size, (g + 1) * size);
  }
}

/** Softmax of x[at … at + n] in place, the maximum subtracted. */
function softmax(x: Float32Array, at: number, n: number): void {
  let largest = -Infinity;
  for (let i = at; i < at + n; i++) largest = max(largest, x[i]!);
  let sum = 0;
  for (let i = at; i < at + n; i++) {
    x[i] = exp(fround(x[i]! - largest));
    sum += x[i]!;
  }
  for (let i = at; i < at + n; i++) x[i] = x[i]! / sum;
}
