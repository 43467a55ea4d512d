import { Activation, type Kernels, type LinearGroup, type Matrix } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import type { ModelShape } from '../architectures/architecture.js';
import type { ExpertStream } from '../experts/expert-stream.js';
import { pageEnd } from '../model/page.js';
import type { Routes, RoutingRule } from '../routing/routing-rule.js';
import { KV_TYPES, type KvCache } from './kv-cache.js';

/** A named activation: float32 [tokens][width]. */
export interface Activations {
  readonly memory: Memory;
  readonly width: number;
}

/** Receives the logits of one token (float32 [vocabulary]); the memory is reused for the next. */
export type LogitsSink = (token: number, logits: Memory) => void;

/** Logits kept at once, in bytes; more rows make evaluation of small vocabularies faster. */
const LOGITS_BYTES = 1 << 20;

/** Rows of logits computed at once. */
const logitRows = (shape: ModelShape, batch: number): number =>
  Math.max(1, Math.min(batch, 16, Math.floor(LOGITS_BYTES / (shape.vocabulary * 4))));

/** Bytes of activations that a pass over batches of `batch` tokens holds. */
export function activationBytes(shape: ModelShape, batch: number): number {
  const perToken = Object.values(shape.buffers).map((floats) => pageEnd(batch * floats * 4));
  return (
    perToken.reduce((a, b) => a + b, 0) +
    pageEnd(batch * shape.experts * 4) +
    pageEnd(batch * shape.usedExperts * shape.width * 4) +
    pageEnd(logitRows(shape, batch) * shape.vocabulary * 4)
  );
}

/**
 * One batch of tokens on its way through the layers: the vocabulary in which the family files are written. Each
 * function is one call of the kernel library on the batch's activations.
 */
export class Pass {
  readonly #buffers: Record<string, Activations> = {};
  readonly #routerLogits: Memory;
  readonly #expertOutputs: Memory;
  readonly #logits: Memory;
  readonly #logitRows: number;
  readonly #routes: Routes;
  #kv!: KvCache;
  #ids: Int32Array = new Int32Array(0);
  #pos0 = 0;
  #tokens = 0;
  #outputs: 'last' | 'all' | 'none' = 'last';
  #sink: LogitsSink = () => {};
  #interrupted: () => boolean = () => false;

  /** @param batch most tokens per pass */
  constructor(
    private readonly kernels: Kernels,
    private readonly shape: ModelShape,
    private readonly experts: ExpertStream,
    private readonly routing: RoutingRule,
    readonly batch: number,
  ) {
    for (const [name, width] of Object.entries(shape.buffers))
      this.#buffers[name] = { memory: kernels.alloc(pageEnd(batch * width * 4)), width };
    const { k } = routing;
    this.#routerLogits = kernels.alloc(pageEnd(batch * shape.experts * 4));
    this.#expertOutputs = kernels.alloc(pageEnd(batch * k * shape.width * 4));
    this.#logitRows = logitRows(shape, batch);
    this.#logits = kernels.alloc(pageEnd(this.#logitRows * shape.vocabulary * 4));
    this.#routes = { tokens: 0, k, ids: new Int32Array(batch * k), weights: new Float32Array(batch * k) };
  }

  /**
   * Sets the batch: `ids` follow what `kv` holds. The forward pass comes next; when `interrupted` says yes at a layer,
   * it throws a DOMException named AbortError.
   */
  begin(
    kv: KvCache,
    ids: Int32Array,
    outputs: 'last' | 'all' | 'none',
    sink: LogitsSink,
    interrupted: () => boolean,
  ): void {
    if (ids.length > this.batch || kv.length + ids.length > kv.contextLength)
      throw new RangeError(`a batch of ${ids.length} tokens does not fit`);
    this.#kv = kv;
    this.#ids = ids;
    this.#pos0 = kv.length;
    this.#tokens = ids.length;
    this.#outputs = outputs;
    this.#sink = sink;
    this.#interrupted = interrupted;
  }

  /** The named activation buffers of the family's shape. */
  buffers<Name extends string>(...names: Name[]): Record<Name, Activations> {
    const found = {} as Record<Name, Activations>;
    for (const name of names) {
      const buffer = this.#buffers[name];
      if (!buffer) throw new Error(`the family's shape declares no buffer "${name}"`);
      found[name] = buffer;
    }
    return found;
  }

  /** out[t] = row ids[t] of the table. */
  embed(table: Matrix, out: Activations): void {
    this.kernels.embed(table, this.#ids, out.memory);
  }

  /** out = x / rms(x) * weight (Zhang and Sennrich 2019). */
  rmsNorm(x: Activations, weight: Memory, out: Activations): void {
    this.kernels.rmsNorm(
      x.memory,
      x.width,
      weight,
      out.memory,
      out.width,
      this.#tokens,
      1,
      x.width,
      this.shape.eps,
    );
  }

  /** RMS norm of every query or key head of a fused q|k|v, in place. */
  normHeads(qkv: Activations, part: 'q' | 'k', weight: Memory): void {
    const heads = part === 'q' ? this.shape.heads : this.shape.kvHeads;
    this.#normPart(qkv, part, weight, heads, this.shape.headSize);
  }

  /** RMS norm of the whole row of queries or keys of a fused q|k|v, in place. */
  normRow(qkv: Activations, part: 'q' | 'k', weight: Memory): void {
    const heads = part === 'q' ? this.shape.heads : this.shape.kvHeads;
    this.#normPart(qkv, part, weight, 1, heads * this.shape.headSize);
  }

  /** out = matrices · x, outputs concatenated. */
  linear(group: LinearGroup, x: Activations, out: Activations): void {
    this.kernels.linear(group, x.memory, x.width, out.memory, out.width, this.#tokens);
  }

  /** Rotary embedding of queries and keys, in place (Su et al. 2021). */
  rope(
    qkv: Activations,
    rope: { dims: number; freqBase: number; freqScale: number },
    pairing: number,
    factors: Memory | null = null,
  ): void {
    const { heads, kvHeads, headSize } = this.shape;
    this.kernels.rope(qkv.memory, qkv.width, this.#tokens, this.#pos0, {
      heads: heads + kvHeads,
      headSize,
      ...rope,
      pairing,
      factors,
    });
  }

  /** Appends keys and values to the cache, then attends. `window` 0: everything; scale defaults to 1/sqrt(head size). */
  attention(
    layer: number,
    qkv: Activations,
    out: Activations,
    { window = 0, scale = 1 / Math.sqrt(this.shape.headSize) } = {},
  ): void {
    const { heads, kvHeads, headSize } = this.shape;
    const keys = this.#kv.keys[layer]!;
    const values = this.#kv.values[layer]!;
    const type = KV_TYPES[this.#kv.type];
    const k = qkv.memory.slice(heads * headSize * 4);
    const v = qkv.memory.slice((heads + kvHeads) * headSize * 4);
    this.kernels.kvStore(k, v, qkv.width, keys, values, type, this.#tokens, this.#pos0, kvHeads, headSize);
    this.kernels.attention(
      qkv.memory,
      qkv.width,
      keys,
      values,
      out.memory,
      out.width,
      this.#tokens,
      this.#pos0,
      {
        type,
        heads,
        kvHeads,
        headSize,
        window,
        scale,
      },
    );
  }

  /** y += scale * x. */
  add(x: Activations, y: Activations, scale = 1): void {
    this.kernels.addScaled(x.memory, scale, y.memory, this.#tokens * y.width);
  }

  /** x *= factor. */
  scale(x: Activations, factor: number): void {
    if (factor !== 1) this.kernels.scale(x.memory, factor, this.#tokens * x.width);
  }

  /** out = activation(gate) * up, from gate|up. */
  gated(gateUp: Activations, out: Activations, activation: 'relu' | 'silu'): void {
    const kind = activation === 'relu' ? Activation.Relu : Activation.Silu;
    this.kernels.gated(gateUp.memory, gateUp.width, out.memory, out.width, this.#tokens, out.width, kind);
  }

  /** The layer's experts for each token, from the router's logits on x. Valid until the next call. */
  route(router: LinearGroup, x: Activations): Routes {
    const { experts } = this.shape;
    this.kernels.linear(router, x.memory, x.width, this.#routerLogits, experts, this.#tokens);
    this.#routes.tokens = this.#tokens;
    this.routing.route(this.kernels, this.#routerLogits, experts, this.#routes);
    return this.#routes;
  }

  /** Tells the stream which experts the layer needs; flash reads begin. */
  requestExperts(layer: number, routes: Routes): void {
    if (this.#interrupted()) throw new DOMException('The operation was aborted', 'AbortError');
    this.experts.request(layer, routes);
  }

  /** x += scale * the experts' weighted sum over h. */
  runExperts(layer: number, routes: Routes, h: Activations, x: Activations, scale = 1): void {
    this.experts.run(layer, routes, h.memory, x.memory, this.#expertOutputs, scale);
  }

  /** Ends the pass: logits of the tokens asked for go to the sink, times `scale`. */
  logits(head: LinearGroup, h: Activations, scale = 1): void {
    const tokens = this.#tokens;
    this.#kv.length = this.#pos0 + tokens;
    if (this.#outputs === 'none') return;
    const { vocabulary } = this.shape;
    for (let first = this.#outputs === 'all' ? 0 : tokens - 1; first < tokens; first += this.#logitRows) {
      const rows = Math.min(this.#logitRows, tokens - first);
      const x = h.memory.slice(first * h.width * 4);
      this.kernels.linear(head, x, h.width, this.#logits, vocabulary, rows);
      if (scale !== 1) this.kernels.scale(this.#logits, scale, rows * vocabulary);
      for (let r = 0; r < rows; r++)
        this.#sink(first + r, this.#logits.slice(r * vocabulary * 4, vocabulary * 4));
    }
  }

  /** Frees the buffers. */
  free(): void {
    const named = Object.values(this.#buffers).map((b) => b.memory);
    for (const memory of [...named, this.#routerLogits, this.#expertOutputs, this.#logits])
      this.kernels.free(memory);
  }

  #normPart(qkv: Activations, part: 'q' | 'k', weight: Memory, groups: number, cols: number): void {
    const x = part === 'q' ? qkv.memory : qkv.memory.slice(this.shape.heads * this.shape.headSize * 4);
    this.kernels.rmsNorm(x, qkv.width, weight, x, qkv.width, this.#tokens, groups, cols, this.shape.eps);
  }
}
