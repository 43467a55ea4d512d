import type {
  AttentionOptions,
  ExpertJob,
  ExpertRunStats,
  ExpertShape,
  Kernels,
  LinearGroup,
  Matrix,
  RopeOptions,
  RouteOptions,
} from '../kernels.js';
import { Memory } from '../memory.js';
import { gated } from './activation.js';
import { Attention } from './attention.js';
import { embed } from './embed.js';
import { ExpertsFfn } from './experts-ffn.js';
import { storeRows } from './kv-cache.js';
import { Linear, groupMatrices } from './linear.js';
import { rmsNorm } from './rms-norm.js';
import { rope } from './rope.js';
import { Router } from './router.js';

const PAGE = 4096;

/**
 * Addresses identify memory in this process but point nowhere. They are shared by all instances, so that two of
 * them never give out the same one; a page is left between spans.
 */
let nextAddress = PAGE;

/**
 * Every kernel in TypeScript, on the calling thread: the oracle of the native library's tests, and the engine where
 * no compiler exists. Semantics: `kernels/include/pocketmoe_kernels.h`. Throws RangeError on impossible arguments.
 */
export class ReferenceKernels implements Kernels {
  readonly isa = 'reference';
  readonly threads = 1;
  readonly #allocated = new Set<Memory>();
  #linear = new Linear();
  #attention = new Attention();
  #router = new Router();
  #experts = new ExpertsFfn();

  alloc(bytes: number): Memory {
    const buffer = zeroedBuffer(bytes);
    const memory = new Memory(nextAddress, bytes, () => new Uint8Array(buffer));
    nextAddress += (Math.ceil(bytes / PAGE) + 1) * PAGE;
    this.#allocated.add(memory);
    return memory;
  }

  free(memory: Memory): void {
    if (!this.#allocated.delete(memory))
      throw new RangeError(`memory of ${memory.byteLength} bytes was not allocated here, or freed before`);
  }

  scratchBytes(): number {
    return (
      this.#linear.byteLength +
      this.#attention.byteLength +
      this.#router.byteLength +
      this.#experts.byteLength
    );
  }

  /** There is one thread whatever the number; results are the same. */
  setThreads(threads: number): void {
    if (!Number.isInteger(threads) || threads < 1)
      throw new RangeError(`${threads} threads are not possible`);
  }

  close(): void {
    this.#linear = new Linear();
    this.#attention = new Attention();
    this.#router = new Router();
    this.#experts = new ExpertsFfn();
  }

  group(matrices: readonly Matrix[]): LinearGroup {
    return groupMatrices(matrices);
  }

  linear(
    group: LinearGroup,
    x: Memory,
    xStride: number,
    out: Memory,
    outStride: number,
    tokens: number,
  ): void {
    this.#linear.run(group, x.f32, xStride, out.f32, outStride, tokens);
  }

  embed(table: Matrix, ids: Int32Array, out: Memory): void {
    embed(table, ids, out.f32);
  }

  rmsNorm(
    x: Memory,
    xStride: number,
    weight: Memory,
    out: Memory,
    outStride: number,
    tokens: number,
    groups: number,
    cols: number,
    eps: number,
  ): void {
    rmsNorm(x.f32, xStride, weight.f32, out.f32, outStride, tokens, groups, cols, Math.fround(eps));
  }

  rope(x: Memory, stride: number, tokens: number, pos0: number, options: RopeOptions): void {
    rope(x.f32, stride, tokens, pos0, options);
  }

  kvStore(
    k: Memory,
    v: Memory,
    stride: number,
    cacheK: Memory,
    cacheV: Memory,
    type: number,
    tokens: number,
    pos0: number,
    kvHeads: number,
    headSize: number,
  ): void {
    storeRows(k.f32, stride, cacheK.bytes, type, tokens, pos0, kvHeads * headSize);
    storeRows(v.f32, stride, cacheV.bytes, type, tokens, pos0, kvHeads * headSize);
  }

  attention(
    q: Memory,
    qStride: number,
    cacheK: Memory,
    cacheV: Memory,
    out: Memory,
    outStride: number,
    tokens: number,
    pos0: number,
    options: AttentionOptions,
  ): void {
    this.#attention.run(
      q.f32,
      qStride,
      cacheK.bytes,
      cacheV.bytes,
      out.f32,
      outStride,
      tokens,
      pos0,
      options,
    );
  }

  route(
    logits: Memory,
    tokens: number,
    experts: number,
    options: RouteOptions,
    ids: Int32Array,
    weights: Float32Array,
  ): void {
    this.#router.run(logits.f32, tokens, experts, options, ids, weights);
  }

  expertsFfn(
    shape: ExpertShape,
    jobs: readonly ExpertJob[],
    x: Memory,
    xStride: number,
    y: Memory,
    yStride: number,
    stats: ExpertRunStats,
  ): number {
    return this.#experts.run(shape, jobs, x.f32, xStride, y.f32, yStride, stats);
  }

  combine(
    y: Memory,
    yStride: number,
    weights: Float32Array,
    tokens: number,
    k: number,
    width: number,
    scale: number,
    x: Memory,
    xStride: number,
  ): void {
    const from = y.f32;
    const to = x.f32;
    const factor = Math.fround(scale);
    for (let t = 0; t < tokens; t++)
      for (let c = 0; c < width; c++) {
        let sum = 0;
        for (let j = t * k; j < (t + 1) * k; j++) sum += weights[j]! * from[j * yStride + c]!;
        to[t * xStride + c]! += factor * sum;
      }
  }

  gated(
    gateUp: Memory,
    stride: number,
    out: Memory,
    outStride: number,
    tokens: number,
    hidden: number,
    activation: number,
  ): void {
    gated(gateUp.f32, stride, out.f32, outStride, tokens, hidden, activation);
  }

  addScaled(x: Memory, scale: number, y: Memory, n: number): void {
    const from = x.f32;
    const to = y.f32;
    const factor = Math.fround(scale);
    for (let i = 0; i < n; i++) to[i]! += factor * from[i]!;
  }

  scale(y: Memory, scale: number, n: number): void {
    const to = y.f32;
    const factor = Math.fround(scale);
    for (let i = 0; i < n; i++) to[i]! *= factor;
  }

  argmax(x: Memory, n: number): number {
    const values = x.f32;
    let best = -1;
    for (let i = 0; i < n; i++) {
      const value = values[i]!;
      if (value === value && (best < 0 || value > values[best]!)) best = i;
    }
    return best;
  }
}

function zeroedBuffer(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw new RangeError(`there is no memory for ${bytes} bytes`);
  }
}
