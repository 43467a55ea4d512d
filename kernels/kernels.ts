import type { Memory } from './memory.js';

/** How a matrix's bytes are arranged. `Rows` is GGUF's own: row after row of blocks. */
export const Layout = { Rows: 0 } as const;
export const Activation = { Relu: 0, Silu: 1 } as const;
export const Gating = { Softmax: 1, Sigmoid: 2, SoftmaxSelected: 3 } as const;
export const RopePairing = { Adjacent: 0, Halves: 1 } as const;

/** A weight matrix: `rows` outputs, `cols` inputs. */
export interface Matrix {
  readonly type: number;
  readonly layout: number;
  readonly rows: number;
  readonly cols: number;
  readonly memory: Memory;
}

/** Matrices that share one input; their outputs are concatenated. Made once by {@link Kernels.group}. */
export interface LinearGroup {
  readonly matrices: readonly Matrix[];
  /** Sum of the matrices' rows: width of the concatenated output. */
  readonly rows: number;
  readonly cols: number;
}

/** What the experts of one layer have in common. */
export interface ExpertShape {
  readonly width: number;
  readonly hidden: number;
  readonly gateType: number;
  readonly upType: number;
  readonly downType: number;
  readonly gateLayout: number;
  readonly upLayout: number;
  readonly downLayout: number;
  readonly activation: number;
  /** Skip rows whose activation is exactly zero; lossless, for ReLU only. */
  readonly skip: boolean;
}

/** One expert's work in a call of {@link Kernels.expertsFfn}. */
export interface ExpertJob {
  readonly gate: Memory;
  readonly up: Memory;
  readonly down: Memory;
  /**
   * State words (int32: 0 pending, 1 ready, negative failed) of gate, up and down, or null when resident. The three
   * may be the same word: an expert read as one piece.
   */
  readonly ready: readonly [Memory, Memory, Memory] | null;
  /** Rows of x (tokens) it works on, and the rows of y it writes. Same length. */
  readonly tokens: readonly number[];
  readonly targets: readonly number[];
}

/** Counters that {@link Kernels.expertsFfn} adds to. */
export interface ExpertRunStats {
  stallNs: number;
  late: number;
  rowsTotal: number;
  rowsActive: number;
}

export interface RouteOptions {
  readonly k: number;
  readonly gating: number;
  /** Selection bias per expert, float32, or null. */
  readonly bias: Memory | null;
  readonly groups: number;
  readonly groupsUsed: number;
  readonly normalise: boolean;
  readonly scale: number;
}

export interface RopeOptions {
  readonly heads: number;
  readonly headSize: number;
  readonly dims: number;
  readonly freqBase: number;
  readonly freqScale: number;
  readonly pairing: number;
  /** dims/2 divisors of the angles, or null. */
  readonly factors: Memory | null;
}

export interface AttentionOptions {
  readonly type: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** 0: none. */
  readonly window: number;
  readonly scale: number;
}

/**
 * The compute library. Two implementations: native (C++, `kernels/native/`) and the TypeScript reference
 * (`kernels/reference/`), which is slow, exact and the oracle of the tests. Semantics of each function are
 * those written in `kernels/include/pocketmoe_kernels.h`. Strides count floats; activations are spans of float32.
 */
export interface Kernels {
  /** "reference", or the native instruction set: "portable", "avx2", "avx512", "neon", "neon-dotprod". */
  readonly isa: string;
  readonly threads: number;
  /** Zeroed memory, 4 KiB aligned. Throws RangeError when there is none. */
  alloc(bytes: number): Memory;
  /** Gives back what `alloc` returned (the same object). */
  free(memory: Memory): void;
  /** Bytes of scratch held now. */
  scratchBytes(): number;
  /** Changes the number of threads (≥ 1); results stay the same. */
  setThreads(threads: number): void;
  /** Stops the threads and releases scratch. Memory from `alloc` stays until freed. */
  close(): void;

  group(matrices: readonly Matrix[]): LinearGroup;
  linear(group: LinearGroup, x: Memory, xStride: number, out: Memory, outStride: number, tokens: number): void;
  embed(table: Matrix, ids: Int32Array, out: Memory): void;
  rmsNorm(
    x: Memory, xStride: number, weight: Memory, out: Memory, outStride: number,
    tokens: number, groups: number, cols: number, eps: number,
  ): void;
  rope(x: Memory, stride: number, tokens: number, pos0: number, options: RopeOptions): void;
  kvStore(
    k: Memory, v: Memory, stride: number, cacheK: Memory, cacheV: Memory, type: number,
    tokens: number, pos0: number, kvHeads: number, headSize: number,
  ): void;
  attention(
    q: Memory, qStride: number, cacheK: Memory, cacheV: Memory, out: Memory, outStride: number,
    tokens: number, pos0: number, options: AttentionOptions,
  ): void;
  /** ids and weights receive [tokens][k], best first. */
  route(logits: Memory, tokens: number, experts: number, options: RouteOptions, ids: Int32Array, weights: Float32Array): void;
  /** Returns -1, or the index of a job whose data failed to arrive. */
  expertsFfn(
    shape: ExpertShape, jobs: readonly ExpertJob[], x: Memory, xStride: number, y: Memory, yStride: number,
    stats: ExpertRunStats,
  ): number;
  combine(
    y: Memory, yStride: number, weights: Float32Array, tokens: number, k: number, width: number, scale: number,
    x: Memory, xStride: number,
  ): void;
  gated(gateUp: Memory, stride: number, out: Memory, outStride: number, tokens: number, hidden: number, activation: number): void;
  addScaled(x: Memory, scale: number, y: Memory, n: number): void;
  scale(y: Memory, scale: number, n: number): void;
  argmax(x: Memory, n: number): number;
}
