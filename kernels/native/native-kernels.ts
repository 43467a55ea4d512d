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
import { checkMatrix } from '../reference/matrix-rows.js';
import { WeightType, rowBytes } from '../weight-type.js';
import { Descriptor } from './descriptor.js';
import type { NativeLibrary } from './library.js';

const MATRIX_BYTES = 32;
const JOB_BYTES = 56;
const SHAPE_BYTES = 64;
const STATS_BYTES = 32;

/** A group with its native descriptors, in memory that lives as long as the kernels. */
class NativeGroup implements LinearGroup {
  constructor(
    readonly matrices: readonly Matrix[],
    readonly rows: number,
    readonly cols: number,
    readonly owner: NativeKernels,
    readonly descriptors: number,
  ) {}
}

/**
 * The C++ library behind the {@link Kernels} interface. Arguments are checked against the memory they name, so that
 * a wrong size is a RangeError and not a crash. One caller at a time: it belongs to the thread that made it.
 */
export class NativeKernels implements Kernels {
  readonly isa: string;
  #threads: number;
  #pool = 0;
  readonly #allocated = new Set<Memory>();
  /** Descriptors of groups: full blocks, and the one being filled. */
  readonly #groupBlocks: Descriptor[] = [];
  #groupBytes = 0;
  readonly #call: Descriptor;
  readonly #shapes = new WeakMap<ExpertShape, Uint32Array>();

  /** Throws RangeError when the threads cannot be made. */
  constructor(
    private readonly library: NativeLibrary,
    threads: number,
  ) {
    this.isa = library.isa();
    this.#call = new Descriptor(library);
    this.#threads = threads;
    this.setThreads(threads);
  }

  get threads(): number {
    return this.#threads;
  }

  alloc(bytes: number): Memory {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`${bytes} bytes cannot be allocated`);
    const size = Math.max(bytes, 1); // an empty span has an address as well
    const address = this.library.alloc(size);
    if (address === 0) throw new RangeError(`there is no memory for ${bytes} bytes`);
    const memory = new Memory(address, bytes, () => new Uint8Array(this.library.view(address, bytes)));
    this.#allocated.add(memory);
    return memory;
  }

  free(memory: Memory): void {
    if (!this.#allocated.delete(memory))
      throw new RangeError(`memory of ${memory.byteLength} bytes was not allocated here, or freed before`);
    this.library.release(memory.address, Math.max(memory.byteLength, 1));
  }

  scratchBytes(): number {
    let bytes = this.#call.byteLength;
    for (const block of this.#groupBlocks) bytes += block.byteLength;
    return bytes + (this.#pool ? this.library.poolScratch(this.#pool) : 0);
  }

  setThreads(threads: number): void {
    if (!Number.isInteger(threads) || threads < 1 || threads > 1024)
      throw new RangeError(`${threads} threads are not possible`);
    if (this.#pool && threads === this.#threads) return;
    const pool = this.library.poolCreate(threads);
    if (pool === 0) throw new RangeError(`${threads} threads could not be started`);
    if (this.#pool) this.library.poolDestroy(this.#pool);
    this.#pool = pool;
    this.#threads = threads;
  }

  close(): void {
    if (this.#pool) this.library.poolDestroy(this.#pool);
    this.#pool = 0;
    this.#call.release();
    for (const block of this.#groupBlocks.splice(0)) block.release();
  }

  group(matrices: readonly Matrix[]): LinearGroup {
    const first = matrices[0];
    if (!first) throw new RangeError('a group needs at least one matrix');
    let rows = 0;
    for (const m of matrices) {
      checkMatrix(m.type, m.layout, m.rows, m.cols, m.memory);
      if (m.cols !== first.cols)
        throw new RangeError(
          `matrices of one group have ${first.cols} and ${m.cols} columns; they share one input`,
        );
      rows += m.rows;
    }
    const bytes = matrices.length * MATRIX_BYTES;
    let block = this.#groupBlocks.at(-1);
    if (!block || this.#groupBytes + bytes > block.byteLength) {
      block = new Descriptor(this.library);
      block.reserve(Math.max(bytes, 16384));
      this.#groupBlocks.push(block);
      this.#groupBytes = 0;
    }
    matrices.forEach((m, i) => putMatrix(block, this.#groupBytes / 4 + i * (MATRIX_BYTES / 4), m));
    const group = new NativeGroup([...matrices], rows, first.cols, this, block.address + this.#groupBytes);
    this.#groupBytes += bytes;
    return group;
  }

  linear(
    group: LinearGroup,
    x: Memory,
    xStride: number,
    out: Memory,
    outStride: number,
    tokens: number,
  ): void {
    if (!(group instanceof NativeGroup) || group.owner !== this)
      throw new RangeError('this group was not made by these kernels');
    if (tokens <= 0) return;
    needFloats(x, (tokens - 1) * xStride + group.cols, 'input');
    needFloats(out, (tokens - 1) * outStride + group.rows, 'output');
    this.library.linear(
      this.#openPool(),
      group.descriptors,
      group.matrices.length,
      x.address,
      xStride,
      out.address,
      outStride,
      tokens,
    );
  }

  embed(table: Matrix, ids: Int32Array, out: Memory): void {
    checkMatrix(table.type, table.layout, table.rows, table.cols, table.memory);
    for (const id of ids)
      if (id < 0 || id >= table.rows)
        throw new RangeError(`row ${id} is not in a table of ${table.rows} rows`);
    needFloats(out, ids.length * table.cols, 'output');
    this.#call.reserve(MATRIX_BYTES + ids.length * 4);
    putMatrix(this.#call, 0, table);
    this.#call.i32.set(ids, MATRIX_BYTES / 4);
    const at = this.#call.address;
    this.library.embed(at, at + MATRIX_BYTES, ids.length, out.address);
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
    if (tokens <= 0) return;
    needFloats(x, (tokens - 1) * xStride + groups * cols, 'input');
    needFloats(weight, cols, 'weight');
    needFloats(out, (tokens - 1) * outStride + groups * cols, 'output');
    this.library.rmsNorm(
      this.#openPool(),
      x.address,
      xStride,
      weight.address,
      out.address,
      outStride,
      tokens,
      groups,
      cols,
      eps,
    );
  }

  rope(x: Memory, stride: number, tokens: number, pos0: number, options: RopeOptions): void {
    const { heads, headSize, dims, factors } = options;
    if (dims < 0 || dims % 2 !== 0 || dims > headSize)
      throw new RangeError(`${dims} dimensions of heads of ${headSize} cannot be rotated in pairs`);
    if (tokens <= 0) return;
    needFloats(x, (tokens - 1) * stride + heads * headSize, 'input');
    if (factors) needFloats(factors, dims / 2, 'factors');
    this.library.rope(
      this.#openPool(),
      x.address,
      stride,
      tokens,
      heads,
      headSize,
      dims,
      pos0,
      options.freqBase,
      options.freqScale,
      options.pairing,
      factors ? factors.address : 0,
    );
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
    if (tokens <= 0) return;
    needFloats(k, (tokens - 1) * stride + kvHeads * headSize, 'keys');
    needFloats(v, (tokens - 1) * stride + kvHeads * headSize, 'values');
    const bytes = (pos0 + tokens) * cacheRowBytes(type, kvHeads, headSize);
    needBytes(cacheK, bytes, 'key cache');
    needBytes(cacheV, bytes, 'value cache');
    this.library.kvStore(
      k.address,
      v.address,
      stride,
      cacheK.address,
      cacheV.address,
      type,
      tokens,
      pos0,
      kvHeads,
      headSize,
    );
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
    const { type, heads, kvHeads, headSize } = options;
    if (kvHeads < 1 || heads % kvHeads !== 0)
      throw new RangeError(`${heads} query heads cannot share ${kvHeads} key-value heads`);
    if (tokens <= 0) return;
    needFloats(q, (tokens - 1) * qStride + heads * headSize, 'queries');
    needFloats(out, (tokens - 1) * outStride + heads * headSize, 'output');
    const bytes = (pos0 + tokens) * cacheRowBytes(type, kvHeads, headSize);
    needBytes(cacheK, bytes, 'key cache');
    needBytes(cacheV, bytes, 'value cache');
    this.library.attention(
      this.#openPool(),
      q.address,
      qStride,
      cacheK.address,
      cacheV.address,
      type,
      out.address,
      outStride,
      tokens,
      pos0,
      heads,
      kvHeads,
      headSize,
      options.window,
      options.scale,
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
    const { k, bias, groups } = options;
    if (k < 1 || k > experts || experts > 4096)
      throw new RangeError(`${k} of ${experts} experts cannot be chosen`);
    if (groups > 1 && experts % groups !== 0)
      throw new RangeError(`${experts} experts do not form ${groups} equal groups`);
    if (![1, 2, 3].includes(options.gating)) throw new RangeError(`gating ${options.gating} is not known`);
    const n = tokens * k;
    if (ids.length < n || weights.length < n)
      throw new RangeError(
        `room for ${n} choices is needed, ${ids.length} ids and ${weights.length} weights given`,
      );
    needFloats(logits, tokens * experts, 'logits');
    if (bias) needFloats(bias, experts, 'bias');
    this.#call.reserve(n * 8);
    const at = this.#call.address;
    this.library.route(
      logits.address,
      tokens,
      experts,
      k,
      options.gating,
      bias ? bias.address : 0,
      groups,
      options.groupsUsed,
      options.normalise ? 1 : 0,
      options.scale,
      at,
      at + n * 4,
    );
    const { i32, f32 } = this.#call;
    for (let i = 0; i < n; i++) {
      ids[i] = i32[i]!;
      weights[i] = f32[n + i]!;
    }
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
    let entries = 0;
    for (const job of jobs) entries += job.tokens.length;
    const call = this.#call;
    call.reserve(SHAPE_BYTES + STATS_BYTES + jobs.length * JOB_BYTES + entries * 8);
    const { u32, i32 } = call;
    u32.set(this.#shapeWords(shape), 0);
    const statsAt = SHAPE_BYTES / 4;
    u32.fill(0, statsAt, statsAt + STATS_BYTES / 4);
    const jobsAt = statsAt + STATS_BYTES / 4;
    const tokensAt = jobsAt + jobs.length * (JOB_BYTES / 4);
    const targetsAt = tokensAt + entries;
    const gateBytes = shape.hidden * rowBytes(shape.gateType, shape.width);
    const upBytes = shape.hidden * rowBytes(shape.upType, shape.width);
    const downBytes = shape.width * rowBytes(shape.downType, shape.hidden);

    let first = 0;
    let at = jobsAt;
    for (const job of jobs) {
      const { ready, tokens, targets } = job;
      if (tokens.length !== targets.length)
        throw new RangeError(`an expert's job has ${tokens.length} tokens and ${targets.length} targets`);
      needBytes(job.gate, gateBytes, 'gate');
      needBytes(job.up, upBytes, 'up');
      needBytes(job.down, downBytes, 'down');
      call.put64(at, job.gate.address);
      call.put64(at + 2, job.up.address);
      call.put64(at + 4, job.down.address);
      call.put64(at + 6, ready ? ready[0].address : 0);
      call.put64(at + 8, ready ? ready[1].address : 0);
      call.put64(at + 10, ready ? ready[2].address : 0);
      i32[at + 12] = first;
      i32[at + 13] = tokens.length;
      at += JOB_BYTES / 4;
      for (let i = 0; i < tokens.length; i++) {
        const token = tokens[i]!;
        const target = targets[i]!;
        if (!(token >= 0 && target >= 0))
          throw new RangeError(`token ${token}, target ${target} of an expert's job`);
        needFloats(x, token * xStride + shape.width, 'input');
        needFloats(y, target * yStride + shape.width, 'output');
        i32[tokensAt + first] = token;
        i32[targetsAt + first] = target;
        first++;
      }
    }
    const base = call.address;
    const failed = this.library.expertsFfn(
      this.#openPool(),
      base,
      base + jobsAt * 4,
      jobs.length,
      base + tokensAt * 4,
      base + targetsAt * 4,
      x.address,
      xStride,
      y.address,
      yStride,
      base + statsAt * 4,
    );
    stats.stallNs += call.get64(statsAt);
    stats.late += call.get64(statsAt + 2);
    stats.rowsTotal += call.get64(statsAt + 4);
    stats.rowsActive += call.get64(statsAt + 6);
    return failed - 1;
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
    if (tokens <= 0) return;
    const n = tokens * k;
    if (weights.length < n) throw new RangeError(`${n} weights are needed, ${weights.length} given`);
    needFloats(y, (n - 1) * yStride + width, 'expert outputs');
    needFloats(x, (tokens - 1) * xStride + width, 'residual');
    this.#call.reserve(n * 4);
    const { f32 } = this.#call;
    for (let i = 0; i < n; i++) f32[i] = weights[i]!;
    this.library.combine(
      this.#openPool(),
      y.address,
      yStride,
      this.#call.address,
      tokens,
      k,
      width,
      scale,
      x.address,
      xStride,
    );
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
    checkActivation(activation);
    if (tokens <= 0) return;
    needFloats(gateUp, (tokens - 1) * stride + 2 * hidden, 'input');
    needFloats(out, (tokens - 1) * outStride + hidden, 'output');
    this.library.gated(
      this.#openPool(),
      gateUp.address,
      stride,
      out.address,
      outStride,
      tokens,
      hidden,
      activation,
    );
  }

  addScaled(x: Memory, scale: number, y: Memory, n: number): void {
    needFloats(x, n, 'input');
    needFloats(y, n, 'output');
    this.library.addScaled(x.address, scale, y.address, n);
  }

  scale(y: Memory, scale: number, n: number): void {
    needFloats(y, n, 'output');
    this.library.scale(y.address, scale, n);
  }

  argmax(x: Memory, n: number): number {
    needFloats(x, n, 'input');
    return this.library.argmax(x.address, n);
  }

  #openPool(): number {
    if (this.#pool === 0) throw new Error('these kernels were closed');
    return this.#pool;
  }

  /** A checked shape as the 64 bytes of pm_expert_shape; a layer's shape is the same object in every call. */
  #shapeWords(shape: ExpertShape): Uint32Array {
    const known = this.#shapes.get(shape);
    if (known) return known;
    const { width, hidden } = shape;
    checkActivation(shape.activation);
    for (const [type, layout, cols] of [
      [shape.gateType, shape.gateLayout, width],
      [shape.upType, shape.upLayout, width],
      [shape.downType, shape.downLayout, hidden],
    ] as const) {
      rowBytes(type, cols);
      if (layout !== 0) throw new RangeError(`layout ${layout} is not known`);
    }
    const words = new Uint32Array(SHAPE_BYTES / 4);
    words.set([width, 0, hidden, 0]);
    words.set([shape.gateType, shape.upType, shape.downType], 4);
    words.set([shape.gateLayout, shape.upLayout, shape.downLayout], 7);
    words.set([shape.activation, shape.skip ? 1 : 0], 10);
    this.#shapes.set(shape, words);
    return words;
  }
}

/** Writes a pm_matrix at 32-bit index `at`. */
function putMatrix(into: Descriptor, at: number, m: Matrix): void {
  into.put64(at, m.memory.address);
  into.put64(at + 2, m.rows);
  into.put64(at + 4, m.cols);
  into.i32[at + 6] = m.type;
  into.i32[at + 7] = m.layout;
}

function checkActivation(activation: number): void {
  if (activation !== 0 && activation !== 1) throw new RangeError(`activation ${activation} is not known`);
}

function cacheRowBytes(type: number, kvHeads: number, headSize: number): number {
  if (type !== WeightType.F32 && type !== WeightType.F16 && type !== WeightType.Q8_0)
    throw new RangeError(`a cache of weight type ${type} is not known; F32, F16 and Q8_0 are`);
  return kvHeads * rowBytes(type, headSize);
}

function needFloats(memory: Memory, floats: number, what: string): void {
  needBytes(memory, floats * 4, what);
}

function needBytes(memory: Memory, bytes: number, what: string): void {
  if (!(memory.byteLength >= bytes))
    throw new RangeError(`${what} takes ${bytes} bytes, its memory has ${memory.byteLength}`);
}
