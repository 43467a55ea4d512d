import { WEIGHT_TYPES, WeightType, rowBytes } from '../weight-type.js';
import { Layout } from '../kernels.js';
import type { Memory } from '../memory.js';
import { QuantisedActivation } from './activation-quantisation.js';
import { type BlockFormat, DecodedRow } from './block-format.js';
import { BLOCK_FORMATS } from './block-formats.js';
import { HALF_VALUES } from './float16.js';

const { imul } = Math;

/** The activations of several tokens, in each form that some weight type multiplies with; made when first asked for. */
export class LinearInput {
  x: Float32Array = new Float32Array(0);
  stride = 0;
  tokens = 0;
  cols = 0;
  readonly #q8 = new QuantisedActivation(32);
  readonly #q8k = new QuantisedActivation(256);
  #q8Made = false;
  #q8kMade = false;

  get byteLength(): number {
    return this.#q8.byteLength + this.#q8k.byteLength;
  }

  /** Sets the input: token t is `cols` floats at x[t · stride]. */
  set(x: Float32Array, stride: number, tokens: number, cols: number): void {
    this.x = x;
    this.stride = stride;
    this.tokens = tokens;
    this.cols = cols;
    this.#q8Made = this.#q8kMade = false;
  }

  quantised(blockSize: 32 | 256): QuantisedActivation {
    const into = blockSize === 32 ? this.#q8 : this.#q8k;
    if (blockSize === 32 ? this.#q8Made : this.#q8kMade) return into;
    into.reserve(this.tokens, this.cols);
    for (let t = 0; t < this.tokens; t++) into.setRow(t, this.x, t * this.stride);
    if (blockSize === 32) this.#q8Made = true;
    else this.#q8kMade = true;
    return into;
  }
}

/** Throws RangeError when a matrix cannot be computed with: type, layout, shape, memory. */
export function checkMatrix(type: number, layout: number, rows: number, cols: number, memory: Memory): void {
  const what = `matrix of ${rows} × ${cols}`;
  if (!Number.isInteger(rows) || rows < 1 || !Number.isInteger(cols) || cols < 1)
    throw new RangeError(`${what}: rows and columns must be positive integers`);
  if (layout !== Layout.Rows) throw new RangeError(`${what}: layout ${layout} is not known`);
  const needed = rows * rowBytes(type, cols);
  if (memory.byteLength < needed)
    throw new RangeError(
      `${what} of type ${WEIGHT_TYPES.get(type)!.name} takes ${needed} bytes, its memory has ${memory.byteLength}`,
    );
}

/**
 * Multiplies rows of one matrix with the tokens of an input. A row is decoded once, then used for every token.
 * Sums are in double precision, so a token's result does not depend on the others.
 */
export class MatrixRows {
  #format: BlockFormat | undefined;
  #type = 0;
  #cols = 0;
  #rowBytes = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #floats: Float32Array = new Float32Array(0);
  #halves: Uint16Array = new Uint16Array(0);
  #words: Uint32Array = new Uint32Array(0);
  readonly #row = new DecodedRow();
  #floatRow = new Float32Array(0);
  /** Where the current row's floats are. */
  #current: Float32Array = new Float32Array(0);
  #currentAt = 0;

  get byteLength(): number {
    return this.#row.byteLength + this.#floatRow.byteLength;
  }

  /** Chooses the matrix; it must have passed {@link checkMatrix}. */
  open(type: number, cols: number, memory: Memory): void {
    this.#type = type;
    this.#cols = cols;
    this.#rowBytes = rowBytes(type, cols);
    this.#format = BLOCK_FORMATS.get(type);
    this.#bytes = memory.bytes;
    if (this.#format) return;
    if (type === WeightType.F32) {
      this.#floats = memory.f32;
      return;
    }
    const { buffer, byteOffset, byteLength } = this.#bytes;
    this.#halves = new Uint16Array(buffer, byteOffset, byteLength >> 1);
    if (this.#floatRow.length < cols) {
      this.#floatRow = new Float32Array(cols);
      this.#words = new Uint32Array(this.#floatRow.buffer);
    }
  }

  /** Decodes row `r` for the {@link dot}s that follow. */
  select(r: number): void {
    const cols = this.#cols;
    if (this.#format) {
      this.#row.decode(this.#format, this.#bytes, r * this.#rowBytes, cols);
      return;
    }
    const from = r * cols;
    if (this.#type === WeightType.F32) {
      this.#current = this.#floats;
      this.#currentAt = from;
      return;
    }
    const halves = this.#halves;
    if (this.#type === WeightType.F16) {
      const row = this.#floatRow;
      for (let c = 0; c < cols; c++) row[c] = HALF_VALUES[halves[from + c]!]!;
    } else {
      const words = this.#words;
      for (let c = 0; c < cols; c++) words[c] = halves[from + c]! << 16;
    }
    this.#current = this.#floatRow;
    this.#currentAt = 0;
  }

  /** The selected row · token t of the input. */
  dot(input: LinearInput, t: number): number {
    const format = this.#format;
    if (!format) return floatDot(this.#current, this.#currentAt, input.x, t * input.stride, this.#cols);
    const activation = input.quantised(format.blockSize);
    return format.subBlock === 32
      ? dotBy32(this.#row, format, activation, t, this.#cols)
      : dotBy16(this.#row, format, activation, t, this.#cols);
  }
}

function floatDot(w: Float32Array, wAt: number, x: Float32Array, xAt: number, cols: number): number {
  let sum = 0;
  for (let c = 0; c < cols; c++) sum += w[wAt + c]! * x[xAt + c]!;
  return sum;
}

/** Sub-blocks of 32: integer sums, each times its scale, plus offset times the activations' sum. */
function dotBy32(
  row: DecodedRow,
  format: BlockFormat,
  x: QuantisedActivation,
  t: number,
  cols: number,
): number {
  const { ints, scales, offsets } = row;
  const { ints: xs, scales: xScales, sums } = x;
  const perBlock = format.blockSize / 32;
  const base = t * cols;
  let total = 0;
  for (let s = 0, c = 0; c < cols;) {
    const xScale = xScales[(base + c) / format.blockSize]!;
    let block = 0;
    for (const end = s + perBlock; s < end; s++) {
      let sum = 0;
      const to = c + 32;
      if (format.hasOffsets) {
        const at = (base + c) >> 4;
        block += offsets[s]! * (sums[at]! + sums[at + 1]!);
      }
      for (; c < to; c++) sum = (sum + imul(ints[c]!, xs[base + c]!)) | 0;
      block += scales[s]! * sum;
    }
    total += xScale * block;
  }
  return total;
}

/** The same for sub-blocks of 16, which only blocks of 256 have. */
function dotBy16(
  row: DecodedRow,
  format: BlockFormat,
  x: QuantisedActivation,
  t: number,
  cols: number,
): number {
  const { ints, scales, offsets } = row;
  const { ints: xs, scales: xScales, sums } = x;
  const base = t * cols;
  let total = 0;
  for (let s = 0, c = 0; c < cols;) {
    const xScale = xScales[(base + c) >> 8]!;
    let block = 0;
    for (const end = s + 16; s < end; s++) {
      let sum = 0;
      const to = c + 16;
      if (format.hasOffsets) block += offsets[s]! * sums[(base + c) >> 4]!;
      for (; c < to; c++) sum = (sum + imul(ints[c]!, xs[base + c]!)) | 0;
      block += scales[s]! * sum;
    }
    total += xScale * block;
  }
  return total;
}
