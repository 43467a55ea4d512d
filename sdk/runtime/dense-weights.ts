import type { Flash, FlashRead } from '../../firmware-bridge/flash/flash.js';
import { FlashError } from '../../firmware-bridge/flash/flash-error.js';
import type { Kernels, LinearGroup, Matrix } from '../../kernels/kernels.js';
import { Memory } from '../../kernels/memory.js';
import { rowBytes, WeightType } from '../../kernels/weight-type.js';
import { ModelFormatError, UnsupportedError } from '../error.js';
import type { ModelFile, TensorInfo } from '../model/model-file.js';
import { PAGE, pageEnd, pageStart } from '../model/page.js';

/** Reads are cut to this size so that several lanes share a large tensor. */
const READ_BYTES = 4 << 20;

/**
 * The weights that every token uses: embedding, attention, norms, routers, head. They live in anonymous memory, never
 * in the page cache, so memory pressure cannot push them out.
 *
 * A family names its tensors once; the same description serves for planning (no kernels: sizes only) and for loading.
 */
export class DenseWeights {
  readonly #memories: Memory[] = [];
  readonly #pending: { info: TensorInfo; memory: Memory }[] = [];
  readonly #used = new Map<string, Memory>();
  #bytes = 0;

  /** @param kernels where weights are allocated, or null to count only */
  constructor(
    private readonly file: ModelFile,
    private readonly kernels: Kernels | null,
  ) {}

  /** Bytes of memory that the named tensors take, whole pages. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A matrix of `rows` outputs and `cols` inputs in the file's own type. */
  matrix(name: string, rows: number, cols: number): Matrix {
    const info = this.#find(name, [cols, rows]);
    return { type: info.type, layout: info.layout, rows, cols, memory: this.#place(info) };
  }

  /** Matrices `[name, rows]` with the same input, computed in one pass; outputs are concatenated. */
  group(parts: readonly (readonly [name: string, rows: number])[], cols: number): LinearGroup {
    const matrices = parts.map(([name, rows]) => this.matrix(name, rows, cols));
    const rows = matrices.reduce((sum, m) => sum + m.rows, 0);
    return this.kernels ? this.kernels.group(matrices) : { matrices, rows, cols };
  }

  /** The output head, or the embedding again when the model ties them. */
  head(name: string, tied: string, rows: number, cols: number): LinearGroup {
    return this.group([[this.file.tensors.has(name) ? name : tied, rows]], cols);
  }

  /** A float32 vector of n elements. */
  vector(name: string, n: number): Memory {
    const info = this.#find(name, [n]);
    if (info.type !== WeightType.F32)
      throw new UnsupportedError(
        'unsupported/weight-type',
        `${this.file.path}: tensor ${name} is of type ${info.type}; norms and biases must be F32`,
        'Convert the model with a current converter.',
      );
    return this.#place(info);
  }

  /** As {@link vector}, or null when the file has no such tensor. */
  optionalVector(name: string, n: number): Memory | null {
    return this.file.tensors.has(name) ? this.vector(name, n) : null;
  }

  /** Throws UnsupportedError when the file holds a tensor that the family did not name: ignoring it would be wrong. */
  assertAllNamed(): void {
    for (const name of this.file.tensors.keys())
      if (!this.#used.has(name))
        throw new UnsupportedError(
          'unsupported/tensor',
          `${this.file.path}: tensor ${name} is not part of the family "${this.file.architecture}" as it is supported`,
          'This variant of the family needs support of its own; see docs/architecture.md.',
        );
  }

  /**
   * Reads everything named, checking checksums where the file has them. `files` are the flash handles of file.files.
   * Throws FlashError; aborts with signal.reason.
   */
  async read(
    flash: Flash,
    files: readonly number[],
    onProgress?: (done: number, total: number) => void,
  ): Promise<void> {
    if (!this.kernels) throw new Error('weights that are only counted cannot be read');
    const total = this.#pending.reduce((sum, p) => sum + p.info.length, 0);
    let done = 0;
    const states = this.kernels.alloc(PAGE);
    try {
      for (const { info, memory } of this.#pending) {
        this.#readTensor(flash, files, info, memory, states);
        onProgress?.((done += info.length), total);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    } finally {
      this.kernels.free(states);
    }
  }

  /** Frees the memory; the weights are gone. */
  free(): void {
    for (const memory of this.#memories) this.kernels?.free(memory);
    this.#memories.length = 0;
  }

  #find(name: string, shape: readonly number[]): TensorInfo {
    const info = this.file.tensors.get(name);
    if (!info)
      throw new ModelFormatError(
        'model/tensor',
        `${this.file.path}: tensor ${name} is missing`,
        'The file is incomplete; download or convert it again.',
      );
    const found = info.shape.filter((n, i) => i < shape.length || n !== 1);
    if (found.length !== shape.length || found.some((n, i) => n !== shape[i]))
      throw new ModelFormatError(
        'model/tensor',
        `${this.file.path}: tensor ${name} has shape [${info.shape.join(', ')}]; expected [${shape.join(', ')}]`,
        'The file is inconsistent; convert it again.',
      );
    const bytes = rowBytes(info.type, shape[0]!) * shape.slice(1).reduce((a, b) => a * b, 1);
    if (bytes !== info.length)
      throw new ModelFormatError(
        'model/tensor',
        `${this.file.path}: tensor ${name} holds ${info.length} bytes; its shape needs ${bytes}`,
        'The file is damaged; download or convert it again.',
      );
    return info;
  }

  /** Memory for the tensor: its whole pages on flash, so that a direct read lands in place. */
  #place(info: TensorInfo): Memory {
    const known = this.#used.get(info.name);
    if (known) return known;
    const shift = info.offset - pageStart(info.offset);
    const bytes = pageEnd(shift + info.length);
    this.#bytes += bytes;
    const whole = this.kernels
      ? this.kernels.alloc(bytes)
      : new Memory(0, bytes, () => {
          throw new Error('weights that are only counted have no bytes');
        });
    if (this.kernels) this.#memories.push(whole);
    this.#pending.push({ info, memory: whole });
    const memory = whole.slice(shift, info.length);
    this.#used.set(info.name, memory);
    return memory;
  }

  #readTensor(
    flash: Flash,
    files: readonly number[],
    info: TensorInfo,
    memory: Memory,
    states: Memory,
  ): void {
    const begin = pageStart(info.offset);
    const shift = info.offset - begin;
    const end = shift + info.length;
    const reads: FlashRead[] = [];
    const lanes = Math.min(flash.lanes, states.byteLength / 4);
    for (let at = 0; at < end; at += READ_BYTES) {
      const length = Math.min(READ_BYTES, memory.byteLength - at);
      const dataOffset = at === 0 ? shift : 0;
      const slot = reads.length % lanes;
      reads.push({
        file: files[info.file]!,
        offset: begin + at,
        length,
        destination: memory.slice(at, length),
        dataOffset,
        dataLength: Math.min(end - at, length) - dataOffset,
        crc32c: null,
        state: states.slice(slot * 4, 4),
        priority: 'demand',
      });
    }
    const path = this.file.files[info.file]!;
    for (let i = 0; i < reads.length; i += lanes) {
      const wave = reads.slice(i, i + lanes);
      flash.submit(wave);
      const results = wave.map((r) => flash.wait(r.state));
      const failed = results.find((state) => state !== 1);
      if (failed !== undefined) throw FlashError.fromState(failed, `tensor ${info.name}`, path);
    }
    if (info.crc32c !== null && flash.crc32c(memory.slice(shift), info.length) !== info.crc32c)
      throw FlashError.fromState(-10002, `tensor ${info.name}`, path);
  }
}
