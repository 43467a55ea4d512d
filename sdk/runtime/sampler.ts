import type { Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import { OptionError } from '../error.js';

export interface SamplingOptions {
  /** 0: always the most likely token (lowest id on ties). Default 0. */
  temperature?: number;
  /** Same seed, same prompt, same text, whatever the memory budget. Default 0. */
  seed?: number;
}

/** Picks the next token from logits. */
export class Sampler {
  readonly #temperature: number;
  #state: number;

  /** Throws OptionError for a temperature below 0 or a seed that is no integer. */
  constructor(
    private readonly kernels: Kernels,
    { temperature = 0, seed = 0 }: SamplingOptions,
  ) {
    if (!(temperature >= 0 && temperature <= 100))
      throw new OptionError(
        'option/temperature',
        `temperature is ${temperature}`,
        'Give a number from 0 to 100.',
      );
    if (!Number.isSafeInteger(seed))
      throw new OptionError('option/seed', `seed is ${seed}`, 'Give a whole number.');
    this.#temperature = temperature;
    this.#state = seed | 0;
  }

  /** logits: float32 [vocabulary]. */
  sample(logits: Memory): number {
    const n = logits.byteLength >> 2;
    const best = this.kernels.argmax(logits, n);
    if (this.#temperature === 0 || best < 0) return Math.max(best, 0);
    const values = logits.f32;
    const top = values[best]!;
    let sum = 0;
    for (let i = 0; i < n; i++) sum += Math.exp((values[i]! - top) / this.#temperature);
    let left = this.#uniform() * sum;
    for (let i = 0; i < n; i++) {
      left -= Math.exp((values[i]! - top) / this.#temperature);
      if (left <= 0) return i;
    }
    return best;
  }

  /** Uniform in [0, 1): splitmix32, a 32-bit form of Steele et al. 2014. */
  #uniform(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  }
}
