import { RoutingTrace, type TraceShape } from './trace.js';

/** A made-up router, for tests and benchmarks. */
export interface SyntheticRouterOptions extends TraceShape {
  /** Zipf exponent of the experts' odds within a layer: the r-th likeliest has weight r^−skew. 0 = flat. */
  readonly skew: number;
  /** Chance that an expert of the previous token is kept, whatever its odds. 0 = tokens are independent. */
  readonly persistence: number;
  /** Tokens after which a topic ends: half of each layer's experts then change odds. Default Infinity. */
  readonly topicTokens?: number;
  readonly seed: number;
}

/** Shape and parameters without the seed. */
export type SyntheticPreset = Omit<SyntheticRouterOptions, 'seed'>;

const FOUR_B = { layers: 32, expertsPerLayer: 32, usedPerLayer: 4 };

/**
 * Routers with known statistics (top-8 share of 32 experts; experts shared by consecutive tokens):
 * demo 0.36, 0.16 (the demo model: 0.29–0.41, 0.10–0.20); flat 0.25, 0.125; skew0 0.34, 0.15; skew1 0.73, 0.40;
 * skew2 0.93, 0.71 (4B form); topics: skew1 whose favourites change; 20b: 52 layers × 64, 6 used.
 */
export const SYNTHETIC_PRESETS: Readonly<Record<string, SyntheticPreset>> = {
  demo: { layers: 8, expertsPerLayer: 32, usedPerLayer: 4, skew: 0.3, persistence: 0.02 },
  flat: { ...FOUR_B, skew: 0, persistence: 0 },
  skew0: { ...FOUR_B, skew: 0.27, persistence: 0.02 },
  skew1: { ...FOUR_B, skew: 1.35, persistence: 0 },
  skew2: { ...FOUR_B, skew: 2.8, persistence: 0.05 },
  topics: { ...FOUR_B, skew: 1.2, persistence: 0.1, topicTokens: 250 },
  '20b': { layers: 52, expertsPerLayer: 64, usedPerLayer: 6, skew: 0.7, persistence: 0.15 },
};

/** Draws a trace of `tokens` tokens; the same options give the same trace. */
export function syntheticTrace(options: SyntheticRouterOptions, tokens: number): RoutingTrace {
  return new SyntheticRouter(options).trace(tokens);
}

/** A router that can be asked for several traces in a row, all drawn with the same odds. */
export class SyntheticRouter {
  readonly #options: SyntheticRouterOptions;
  readonly #random: SeededRandom;
  /** Weight of each expert, layer by layer. */
  readonly #weights: Float64Array;

  constructor(options: SyntheticRouterOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const { layers, expertsPerLayer, skew } = options;
    this.#weights = new Float64Array(layers * expertsPerLayer);
    for (let layer = 0; layer < layers; layer++) {
      const weights = this.#layerWeights(layer);
      for (let i = 0; i < expertsPerLayer; i++) weights[i] = (i + 1) ** -skew;
      this.#shuffle(weights, expertsPerLayer);
    }
  }

  trace(tokens: number): RoutingTrace {
    const { layers, expertsPerLayer, usedPerLayer, topicTokens = Infinity } = this.#options;
    const perToken = layers * usedPerLayer;
    const ids = new Uint16Array(tokens * perToken);
    for (let token = 0; token < tokens; token++) {
      if (token > 0 && token % topicTokens === 0) {
        for (let layer = 0; layer < layers; layer++)
          this.#shuffle(this.#layerWeights(layer), expertsPerLayer >> 1);
      }
      for (let layer = 0; layer < layers; layer++) {
        const start = token * perToken + layer * usedPerLayer;
        const before = token === 0 ? start : start - perToken;
        this.#choose(layer, ids.subarray(before, before + (start - before ? usedPerLayer : 0)), ids, start);
      }
    }
    return new RoutingTrace(this.#options, ids);
  }

  #layerWeights(layer: number): Float64Array {
    const { expertsPerLayer } = this.#options;
    return this.#weights.subarray(layer * expertsPerLayer, (layer + 1) * expertsPerLayer);
  }

  /** Keeps some of the previous token's experts and draws the rest by weight, without repetition. */
  #choose(layer: number, previous: Uint16Array, ids: Uint16Array, start: number): void {
    const weights = this.#layerWeights(layer).slice();
    let end = start;
    for (const expert of previous) {
      if (this.#random.next() < this.#options.persistence) {
        ids[end++] = expert;
        weights[expert] = 0;
      }
    }
    while (end < start + this.#options.usedPerLayer) {
      let rest = 0;
      for (const weight of weights) rest += weight;
      rest *= this.#random.next();
      let chosen = -1;
      for (let i = 0; i < weights.length && rest >= 0; i++) {
        const weight = weights[i] as number;
        if (weight === 0) continue;
        chosen = i;
        rest -= weight;
      }
      ids[end++] = chosen;
      weights[chosen] = 0;
    }
  }

  /** Fisher–Yates over `count` entries spread evenly, so a partial shuffle moves likely and unlikely ones alike. */
  #shuffle(values: Float64Array, count: number): void {
    const stride = values.length / count;
    for (let i = count - 1; i > 0; i--) {
      const a = Math.floor(i * stride);
      const b = Math.floor(Math.floor(this.#random.next() * (i + 1)) * stride);
      const value = values[a] as number;
      values[a] = values[b] as number;
      values[b] = value;
    }
  }
}

/** Xorshift, 32 bits of state: enough for test data. */
class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** Uniform in [0, 1). */
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) / 0x100000000;
  }
}
