import { llamaLibrary, type LlamaLibrary, type Pointer } from './llama-library.js';

export interface LlamaPeerOptions {
  /** Default 1. */
  threads?: number;
  /** Type of the KV cache; default f32, which rounds nothing. q8_0 turns flash attention on: llama.cpp wants it. */
  kvType?: 'f32' | 'f16' | 'q8_0';
  /** Positions; default 512. */
  contextLength?: number;
  /** Tokens evaluated at once at most; default 512. */
  batch?: number;
  /** Weights rearranged for the processor (and activations rounded differently); default false. */
  repack?: boolean;
  /** Default false. */
  flashAttention?: boolean;
  /** Loads the vocabulary and no weights: only tokenize and detokenize work; default false. */
  vocabularyOnly?: boolean;
}

export interface GreedyAnswer {
  /** Ids chosen, without the stop id. */
  tokens: number[];
  /** For each choice, the stop included: how far the best logit lies above the second best. */
  margins: number[];
  /** The id that ended the answer, or null when `count` did. */
  stopId: number | null;
}

/** ggml's type numbers. */
const KV_TYPES = { f32: 0, f16: 1, q8_0: 8 } as const;

/** llama.cpp as the reference to compare with: tokens, logits, greedy answers. Synchronous; close() frees it. */
export class LlamaPeer {
  readonly vocabularySize: number;
  /** Ids that end an answer, as llama.cpp sees them. */
  readonly endIds: ReadonlySet<number>;
  private closed = false;

  private constructor(
    private readonly library: LlamaLibrary,
    private readonly model: Pointer,
    private readonly context: Pointer,
    private readonly batchSize: number,
    /** Native memory: batchSize ids, then batchSize flags "give logits". */
    private readonly batchMemory: Pointer,
  ) {
    const vocabulary = library.vocabulary(model);
    this.vocabularySize = library.vocabularySize(vocabulary);
    const ends = new Set<number>();
    for (let id = 0; id < this.vocabularySize; id++) if (library.isEnd(vocabulary, id)) ends.add(id);
    this.endIds = ends;
  }

  /** Opens a GGUF file. Throws Error when llama.cpp refuses it; POCKETMOE_PEER_LOG=1 shows its reason. */
  static open(path: string, options: LlamaPeerOptions = {}): LlamaPeer {
    const library = llamaLibrary();
    const kvType = options.kvType ?? 'f32';
    const batch = options.batch ?? 512;
    const model = library.loadModel(path, {
      ...library.modelDefaults(),
      n_gpu_layers: 0,
      use_extra_bufts: options.repack ?? false,
      vocab_only: options.vocabularyOnly ?? false,
    });
    if (!model) throw new Error(`llama.cpp does not load ${path}; POCKETMOE_PEER_LOG=1 shows why`);
    if (options.vocabularyOnly) return new LlamaPeer(library, model, null, 0, null);
    const context = library.createContext(model, {
      ...library.contextDefaults(),
      n_ctx: options.contextLength ?? 512,
      n_batch: batch,
      n_ubatch: batch,
      n_threads: options.threads ?? 1,
      n_threads_batch: options.threads ?? 1,
      flash_attn_type: (options.flashAttention ?? kvType === 'q8_0') ? 1 : 0,
      type_k: KV_TYPES[kvType],
      type_v: KV_TYPES[kvType],
      no_perf: true,
    });
    if (!context) {
      library.freeModel(model);
      throw new Error(`llama.cpp makes no context for ${path}; POCKETMOE_PEER_LOG=1 shows why`);
    }
    return new LlamaPeer(library, model, context, batch, library.allocate(batch * 5));
  }

  /** Ids of a text. `special` (default true) reads names of special tokens; `addBegin` (default false). */
  tokenize(text: string, options: { special?: boolean; addBegin?: boolean } = {}): number[] {
    this.mustBeOpen();
    const utf8 = Buffer.from(text);
    const ids = new Int32Array(utf8.length + 8);
    const count = this.library.tokenize(
      this.library.vocabulary(this.model),
      utf8.length > 0 ? utf8 : Buffer.alloc(1),
      utf8.length,
      ids,
      ids.length,
      options.addBegin ?? false,
      options.special ?? true,
    );
    if (count < 0) throw new Error(`llama.cpp wants ${-count} ids for ${utf8.length} bytes`);
    return Array.from(ids.subarray(0, count));
  }

  /** The bytes of one token; control tokens give their name when `special` (default false), else nothing. */
  bytes(id: number, options: { special?: boolean } = {}): Uint8Array {
    this.mustBeOpen();
    const vocabulary = this.library.vocabulary(this.model);
    let buffer = Buffer.alloc(64);
    const read = () => this.library.piece(vocabulary, id, buffer, buffer.length, 0, options.special ?? false);
    let length = read();
    if (length < 0) {
      buffer = Buffer.alloc(-length);
      length = read();
    }
    return buffer.subarray(0, length);
  }

  /** Text of ids: their bytes joined; control tokens as in {@link bytes}. */
  detokenize(ids: Iterable<number>, options: { special?: boolean } = {}): string {
    return Buffer.concat(Array.from(ids, (id) => this.bytes(id, options))).toString('utf8');
  }

  /**
   * Logits after each token, evaluated from an empty context: row i predicts token i + 1.
   * In batches of the size given to open, or one token at a time with `sequential`.
   */
  logits(tokens: readonly number[], options: { sequential?: boolean } = {}): Float32Array[] {
    this.clear();
    const rows: Float32Array[] = [];
    const step = options.sequential ? 1 : this.batchSize;
    for (let at = 0; at < tokens.length; at += step) {
      const part = tokens.slice(at, at + step);
      this.evaluate(part, true);
      for (let i = 0; i < part.length; i++) rows.push(this.row(i));
    }
    return rows;
  }

  /**
   * Continues a prompt with the likeliest token (the lowest id among equals), from an empty context, until a stop id
   * or `count` ids. The prompt goes in batches, or one token at a time with `sequential`.
   */
  greedy(
    prompt: readonly number[],
    count: number,
    stopIds: Iterable<number> = this.endIds,
    options: { sequential?: boolean } = {},
  ): GreedyAnswer {
    this.clear();
    const stops = new Set(stopIds);
    const step = options.sequential ? 1 : this.batchSize;
    let last = 0;
    for (let at = 0; at < prompt.length; at += step) {
      const part = prompt.slice(at, at + step);
      this.evaluate(part, false);
      last = part.length - 1;
    }
    const answer: GreedyAnswer = { tokens: [], margins: [], stopId: null };
    while (answer.tokens.length < count) {
      const { id, margin } = best(this.row(last));
      answer.margins.push(margin);
      if (stops.has(id)) {
        answer.stopId = id;
        break;
      }
      answer.tokens.push(id);
      if (answer.tokens.length === count) break;
      this.evaluate([id], false);
      last = 0;
    }
    return answer;
  }

  /** Evaluates tokens, at most a batch, behind those already in the context. Copies no logits: for timing. */
  append(tokens: readonly number[]): void {
    this.mustBeOpen();
    this.evaluate(tokens, false);
    this.library.synchronize(this.context);
  }

  /** Forgets all tokens evaluated so far. */
  clear(): void {
    this.mustBeOpen();
    if (!this.context) throw new Error('the peer was opened with its vocabulary only');
    this.library.clearMemory(this.library.memory(this.context), true);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.context) this.library.freeContext(this.context);
    if (this.batchMemory) this.library.release(this.batchMemory);
    this.library.freeModel(this.model);
  }

  /** Evaluates tokens behind those already in the context; logits of all of them, or of the last. */
  private evaluate(tokens: readonly number[], all: boolean): void {
    const flags = new Int8Array(tokens.length).fill(all ? 1 : 0);
    flags[tokens.length - 1] = 1;
    const ids = this.batchMemory as bigint;
    const logits = ids + BigInt(this.batchSize * 4);
    this.library.copyIn(ids, Int32Array.from(tokens), tokens.length * 4);
    this.library.copyIn(logits, flags, tokens.length);
    const status = this.library.decode(this.context, {
      n_tokens: tokens.length,
      token: ids,
      embd: null,
      // NULL lets llama.cpp continue positions in sequence 0.
      pos: null,
      n_seq_id: null,
      seq_id: null,
      logits,
    });
    if (status !== 0) throw new Error(`llama_decode gives ${status} for ${tokens.length} tokens`);
  }

  private row(index: number): Float32Array {
    const from = this.library.logitsAt(this.context, index);
    if (!from) throw new Error(`llama.cpp has no logits at ${index}`);
    const row = new Float32Array(this.vocabularySize);
    this.library.copyOut(row, from, row.byteLength);
    return row;
  }

  private mustBeOpen(): void {
    if (this.closed) throw new Error('the peer is closed');
  }
}

function best(row: Float32Array): { id: number; margin: number } {
  let id = 0;
  let first = -Infinity;
  let second = -Infinity;
  for (let i = 0; i < row.length; i++) {
    const value = row[i]!;
    if (value > first) {
      second = first;
      first = value;
      id = i;
    } else if (value > second) second = value;
  }
  return { id, margin: first - second };
}
