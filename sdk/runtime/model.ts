import { OptionError } from '../error.js';
import { decodeTrace } from '../experts/trace-file.js';
import type { RoutingTrace } from '../experts/trace.js';
import type { ChatMessage } from '../tokenizer/chat-template.js';
import { checkLimits, type EngineOptions, resolveOptions } from './engine-options.js';
import type { Score } from './evaluator.js';
import { parseMemorySize } from './memory-size.js';
import type { EngineLimits, EngineStatistics, ModelDescription, Prompt } from './protocol.js';
import { answers, Session } from './session.js';
import { WorkerLink } from './worker-link.js';

/** How to open a model, and a signal to give up with. */
export interface OpenOptions extends EngineOptions {
  signal?: AbortSignal;
}

/** An open model. Computation runs in a worker thread; the app's event loop never waits for it. */
export class Model {
  private constructor(private readonly link: WorkerLink) {}

  /** See {@link openModel}. */
  static async open(path: string, { signal, ...options }: OpenOptions): Promise<Model> {
    resolveOptions(options); // bad options are named before a thread starts
    return new Model(await WorkerLink.start({ path, options }, signal));
  }

  get description(): ModelDescription {
    return this.link.model;
  }

  /**
   * A conversation of its own. Sessions share experts and take turns, a token each.
   * @param options.contextLength tokens it can hold; default: the model's option
   */
  createSession(options: { contextLength?: number } = {}): Session {
    return new Session(
      this.link,
      this.link.call<number>({ type: 'createSession', contextLength: options.contextLength }),
    );
  }

  /** Cumulative counters since the model was opened. */
  statistics(): Promise<EngineStatistics> {
    return this.link.call({ type: 'statistics' });
  }

  /**
   * A new memory budget for the process ("600MiB" or bytes), also while generating; null: as when none is given.
   * Returns the expert slots it gives.
   * Throws MemoryBudgetError with the smallest workable figure; then the old budget stays.
   */
  setMemory(memory: string | number | null): Promise<number> {
    return this.link.call({ type: 'setMemory', bytes: memory === null ? null : parseMemorySize(memory) });
  }

  /**
   * Compute threads (1 to 256) and flash reads in flight (1 to 64), effective from the next token on, also while
   * generating; what is not given stays. Results stay the same bit for bit. Returns the limits in force.
   * Throws OptionError; then nothing changes.
   */
  async setLimits(limits: Partial<EngineLimits>): Promise<EngineLimits> {
    return this.link.call({ type: 'setLimits', ...checkLimits(limits) });
  }

  /** Token ids of a text or a conversation, as the model would see them. */
  tokenize(prompt: string | readonly ChatMessage[]): Promise<number[]> {
    return this.link.call({ type: 'tokenize', prompt: asPrompt(prompt) });
  }

  /** One row of float32 logits per token of the prompt; row i is the prediction after token i. */
  async *logits(
    prompt: string | readonly number[],
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Float32Array, void, undefined> {
    const interrupt = new Int32Array(new SharedArrayBuffer(4));
    const request = { type: 'logits', prompt: asPrompt(prompt), output: 'rows', interrupt } as const;
    for await (const answer of answers(this.link, request, interrupt, options.signal))
      if (answer.type === 'row') yield answer.logits;
  }

  /** Sum of -ln p over the prompt's tokens but the first, and their number. exp(sum / tokens) is the perplexity. */
  async score(prompt: string | readonly number[], options: { signal?: AbortSignal } = {}): Promise<Score> {
    const interrupt = new Int32Array(new SharedArrayBuffer(4));
    const request = { type: 'logits', prompt: asPrompt(prompt), output: 'score', interrupt } as const;
    for await (const answer of answers(this.link, request, interrupt, options.signal))
      if (answer.type === 'done') return answer.value as Score;
    throw new Error('the engine ended without a score');
  }

  /** Begins recording which experts each decoded token uses. */
  async startTrace(): Promise<void> {
    await this.link.call({ type: 'trace', enabled: true });
  }

  /** Ends recording and returns the trace, for replay against cache policies. Throws OptionError when none runs. */
  async stopTrace(): Promise<RoutingTrace> {
    const bytes = await this.link.call<Uint8Array | null>({ type: 'trace', enabled: false });
    if (!bytes) throw new OptionError('trace/none', 'no trace is being recorded', 'Call startTrace first.');
    return decodeTrace(bytes);
  }

  /** Stops everything and frees it. Idempotent. */
  close(): Promise<void> {
    return this.link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function asPrompt(prompt: string | readonly number[] | readonly ChatMessage[]): Prompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  return typeof prompt[0] === 'object'
    ? { kind: 'chat', messages: prompt as readonly ChatMessage[] }
    : { kind: 'tokens', tokens: prompt as readonly number[] };
}

/**
 * Opens a GGUF file, a split set (any part) or a package.
 * Throws ModelFormatError, UnsupportedError, MemoryBudgetError, FlashError or OptionError, each with a code and a hint;
 * the signal's reason when aborted.
 */
export function openModel(path: string, options: OpenOptions = {}): Promise<Model> {
  return Model.open(path, options);
}
