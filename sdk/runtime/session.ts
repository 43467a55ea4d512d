import type { ChatMessage } from '../tokenizer/chat-template.js';
import { OptionError } from '../error.js';
import type { GenerateOptions, GenerationSummary, Piece } from './generation.js';
import type { Answer, Prompt } from './protocol.js';
import { revive, type WorkerLink } from './worker-link.js';

const DEFAULT_MAX_TOKENS = 256;

/** A running answer: iterate it for its pieces; `summary` is there once the iteration has ended by itself. */
export class Generation implements AsyncIterable<Piece> {
  /** What happened, or null while it runs or when it did not end by itself. */
  summary: GenerationSummary | null = null;

  constructor(private readonly pieces: (generation: Generation) => AsyncGenerator<Piece, void, undefined>) {}

  [Symbol.asyncIterator](): AsyncIterator<Piece> {
    return this.pieces(this);
  }

  /** Runs to the end and returns the whole text. */
  async text(): Promise<string> {
    let text = '';
    for await (const piece of this) text += piece.text;
    return text;
  }
}

/** A conversation: its keys and values stay between calls, and what a new prompt shares with it is not computed again. */
export class Session {
  #closed = false;

  constructor(
    private readonly link: WorkerLink,
    private readonly id: Promise<number>,
  ) {
    id.catch(() => {}); // reported by the first use
  }

  /**
   * Continues a text (or token ids). Iterating throws OptionError, ContextFullError or FlashError, and the signal's
   * reason when aborted; leaving the loop early cancels.
   */
  generate(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    return this.#generate(
      typeof prompt === 'string' ? { kind: 'text', text: prompt } : { kind: 'tokens', tokens: prompt },
      options,
    );
  }

  /** Answers the last message of a conversation, through the model's own chat template. */
  chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): Generation {
    return this.#generate({ kind: 'chat', messages }, options);
  }

  /** Frees the session's memory. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.link.call({ type: 'closeSession', session: await this.id });
  }

  #generate(prompt: Prompt, options: GenerateOptions): Generation {
    const { maxTokens = DEFAULT_MAX_TOKENS, temperature = 0, seed = 0, signal } = options;
    if (!Number.isInteger(maxTokens) || maxTokens < 1)
      throw new OptionError(
        'option/maxTokens',
        `maxTokens is ${maxTokens}`,
        'Give a whole number of at least 1.',
      );
    const { link, id } = this;
    return new Generation(async function* (generation) {
      signal?.throwIfAborted();
      const interrupt = new Int32Array(new SharedArrayBuffer(4));
      const session = await id;
      const request = { type: 'generate', session, prompt, maxTokens, temperature, seed, interrupt } as const;
      for await (const answer of answers(link, request, interrupt, signal)) {
        if (answer.type === 'piece') yield answer.piece;
        else if (answer.type === 'end') generation.summary = answer.summary;
      }
    });
  }
}

type Streamed = Extract<Answer, { type: 'piece' | 'row' | 'end' | 'done' }>;

/**
 * The answers to a request, until its last ("end" or "done"). Errors are thrown typed; an abort throws the signal's
 * reason; leaving early interrupts the worker and waits until it has stopped.
 */
export async function* answers(
  link: WorkerLink,
  request: Parameters<WorkerLink['open']>[0],
  interrupt: Int32Array,
  signal: AbortSignal | undefined,
): AsyncGenerator<Streamed, void, undefined> {
  const queue: Answer[] = [];
  let wake = () => {};
  let finished = false;
  const stop = () => void Atomics.store(interrupt, 0, 1);
  const { end } = link.open(request, (answer) => {
    queue.push(answer);
    wake();
  });
  const next = async (): Promise<Answer> => {
    while (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return queue.shift()!;
  };
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  try {
    while (!finished) {
      const answer = await next();
      if (answer.type === 'error') {
        finished = true;
        if (answer.error.code === 'aborted') signal?.throwIfAborted();
        throw revive(answer.error);
      }
      finished = answer.type === 'end' || answer.type === 'done';
      if (signal?.aborted && !finished) continue; // the worker's own last word comes next
      yield answer as Streamed;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    if (!finished) {
      stop();
      for (;;) {
        const { type } = await next();
        if (type === 'error' || type === 'end' || type === 'done') break;
      }
    }
    end();
  }
}
