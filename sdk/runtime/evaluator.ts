import type { Engine } from './engine.js';
import { checkTokens, type Sequence } from './sequence.js';

/** Sum of -ln p(next token) over scored tokens, and how many. exp(sum / tokens) is the perplexity. */
export interface Score {
  negativeLogLikelihood: number;
  tokens: number;
}

/** Runs given tokens through the model, batch by batch, looking at every logit. */
export class Evaluator {
  readonly score: Score = { negativeLogLikelihood: 0, tokens: 0 };
  #done = 0;

  /** @param onRow receives each row of logits, a copy; null: only the score is kept */
  constructor(
    private readonly engine: Engine,
    private readonly sequence: Sequence,
    private readonly tokens: readonly number[],
    private readonly onRow: ((logits: Float32Array<ArrayBuffer>) => void) | null,
    private readonly interrupted: () => boolean,
  ) {
    checkTokens(tokens, engine.shape.vocabulary);
  }

  /** One batch; true when all tokens are done. */
  step(): boolean {
    const first = this.#done;
    const batch = this.tokens.slice(first, first + this.engine.batch);
    this.engine.forward(
      this.sequence.kv,
      batch,
      'all',
      (i, logits) => {
        if (this.onRow) this.onRow(logits.f32.slice());
        const next = this.tokens[first + i + 1];
        if (next === undefined) return;
        this.score.negativeLogLikelihood -= logProbability(logits.f32, next);
        this.score.tokens++;
      },
      this.interrupted,
    );
    this.#done += batch.length;
    return this.#done >= this.tokens.length;
  }
}

/** ln softmax(logits)[id], in double precision. */
export function logProbability(logits: Float32Array, id: number): number {
  let top = -Infinity;
  for (const value of logits) if (value > top) top = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - top);
  return logits[id]! - top - Math.log(sum);
}
