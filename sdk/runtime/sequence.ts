import type { TokenStream, Tokenizer } from '../tokenizer/tokenizer.js';
import { OptionError } from '../error.js';
import type { Engine, EngineStatistics } from './engine.js';
import type { FinishReason, GenerationSummary, Piece } from './generation.js';
import type { KvCache } from './kv-cache.js';
import { Sampler, type SamplingOptions } from './sampler.js';

/** A conversation's tokens and their keys and values. */
export class Sequence {
  /** Tokens whose keys and values are in the cache. */
  readonly tokens: number[] = [];

  constructor(
    private readonly engine: Engine,
    readonly kv: KvCache,
  ) {}

  /**
   * Makes the cache a prefix of `prompt` by forgetting what differs, and returns how many tokens stay. At least one
   * token is left to compute, since its logits are needed.
   */
  rewind(prompt: readonly number[]): number {
    let shared = 0;
    while (
      shared < this.tokens.length &&
      shared < prompt.length - 1 &&
      this.tokens[shared] === prompt[shared]
    )
      shared++;
    this.tokens.length = shared;
    this.kv.length = shared;
    return shared;
  }

  free(): void {
    this.engine.freeKv(this.kv);
  }
}

export interface GeneratorOptions extends SamplingOptions {
  maxTokens: number;
  interrupted: () => boolean;
}

/** One generation, step by step: prompt batches, then a token per step. Steps of several generators may alternate. */
export class Generator {
  readonly #sampler: Sampler;
  readonly #stream: TokenStream;
  readonly #begun = performance.now();
  readonly #before: EngineStatistics;
  readonly #reused: number;
  readonly #pending: number[];
  #firstAt = 0;
  #lastAt = 0;
  #bytesAtFirst = 0;
  #tokens = 0;
  #text = '';

  /** Throws OptionError for an empty prompt, bad token ids or bad sampling options. */
  constructor(
    private readonly engine: Engine,
    private readonly sequence: Sequence,
    private readonly tokenizer: Tokenizer,
    private readonly prompt: readonly number[],
    private readonly options: GeneratorOptions,
  ) {
    checkTokens(prompt, engine.shape.vocabulary);
    engine.checkRoom(0, prompt.length, sequence.kv); // before minutes are spent on a prompt that cannot fit
    this.#sampler = new Sampler(engine.kernels, options);
    this.#stream = tokenizer.stream(prompt.at(-1));
    this.#before = engine.statistics();
    this.#reused = sequence.rewind(prompt);
    this.#pending = prompt.slice(this.#reused);
  }

  /** Advances by one batch of the prompt (returns null) or one token. `finish` is set on the last. */
  step(): { piece: Piece; finish: FinishReason | null } | null {
    const { engine, sequence, options } = this;
    const batch = this.#pending.slice(0, engine.batch);
    const last = batch.length === this.#pending.length;
    let token = -1;
    engine.forward(
      sequence.kv,
      batch,
      last ? 'last' : 'none',
      (_, logits) => {
        token = this.#sampler.sample(logits);
      },
      options.interrupted,
    );
    sequence.tokens.push(...batch);
    this.#pending.splice(0, batch.length);
    if (!last) return null;
    this.#lastAt = performance.now();
    if (this.#tokens++ === 0) {
      this.#firstAt = this.#lastAt;
      this.#bytesAtFirst = engine.statistics().experts.bytes;
    }
    this.#pending.push(token);
    const ended = this.tokenizer.endIds.has(token);
    const finish: FinishReason | null = ended
      ? 'end'
      : this.#tokens >= options.maxTokens
        ? 'length'
        : sequence.kv.length >= sequence.kv.contextLength
          ? 'context'
          : null;
    let text = ended ? '' : this.#stream.push(token);
    if (finish) text += this.#stream.end();
    this.#text += text;
    return { piece: { text, token }, finish };
  }

  /** What happened so far. */
  summary(finish: FinishReason): GenerationSummary {
    const now = this.engine.statistics();
    const past = this.#before.experts;
    const { experts, memory } = now;
    const decoded = this.#tokens - 1;
    return {
      text: this.#text,
      finish,
      tokens: this.#tokens,
      promptTokens: this.prompt.length,
      reusedTokens: this.#reused,
      tokensPerSecond: decoded > 0 ? (decoded * 1000) / (this.#lastAt - this.#firstAt) : 0,
      firstTokenMs: this.#firstAt - this.#begun,
      flash: {
        bytes: experts.bytes - past.bytes,
        bytesPerToken: decoded > 0 ? Math.round((experts.bytes - this.#bytesAtFirst) / decoded) : 0,
        stallMs: (experts.stallNs - past.stallNs) / 1e6,
      },
      experts: {
        requests: experts.requests - past.requests,
        hits: experts.hits - past.hits,
        late: experts.late - past.late,
        misses: experts.misses - past.misses,
        evictions: experts.evictions - past.evictions,
      },
      memory: { budgetBytes: memory.budgetBytes, peakBytes: memory.peakBytes },
    };
  }
}

/** Throws OptionError when there is no token or one is outside of the vocabulary. */
export function checkTokens(tokens: readonly number[], vocabulary: number): void {
  if (tokens.length === 0)
    throw new OptionError('option/prompt', 'the prompt is empty', 'Give at least one token of text.');
  const bad = tokens.find((t) => !Number.isInteger(t) || t < 0 || t >= vocabulary);
  if (bad !== undefined)
    throw new OptionError(
      'option/prompt',
      `token ${bad} is not in the vocabulary`,
      `Give ids from 0 to ${vocabulary - 1}.`,
    );
}
