/**
 * A quantised weight type as every one of them can be seen: signed integers in sub-blocks of 16 or 32, each
 * sub-block with a scale and some with an offset: weight = scale · integer + offset.
 *
 * Scales and offsets are exact in double precision (products of a half and a small integer), so what is computed
 * from them differs from any other order of the same arithmetic by float rounding only.
 */
export interface BlockFormat {
  /** Weights per block and bytes per block. */
  readonly blockSize: 32 | 256;
  readonly blockBytes: number;
  /** Weights that share one scale. */
  readonly subBlock: 16 | 32;
  /** Whether sub-blocks carry an offset. */
  readonly hasOffsets: boolean;
  /** Decodes the block at bytes[at] to ints[i…], and its sub-blocks' scales and offsets to [s…]. */
  decode(
    bytes: Uint8Array,
    at: number,
    ints: Int8Array,
    i: number,
    scales: Float64Array,
    offsets: Float64Array,
    s: number,
  ): void;
}

/** One row in the form of {@link BlockFormat}; grows to the widest row it has held. */
export class DecodedRow {
  ints = new Int8Array(0);
  scales = new Float64Array(0);
  offsets = new Float64Array(0);

  get byteLength(): number {
    return this.ints.byteLength + this.scales.byteLength + this.offsets.byteLength;
  }

  /** Decodes the `cols` weights that start at bytes[at]. */
  decode(format: BlockFormat, bytes: Uint8Array, at: number, cols: number): void {
    if (this.ints.length < cols) {
      this.ints = new Int8Array(cols);
      this.scales = new Float64Array(cols / 16);
      this.offsets = new Float64Array(cols / 16);
    }
    const { blockSize, blockBytes } = format;
    const subBlocks = blockSize / format.subBlock;
    const blocks = cols / blockSize;
    for (let b = 0; b < blocks; b++)
      format.decode(
        bytes,
        at + b * blockBytes,
        this.ints,
        b * blockSize,
        this.scales,
        this.offsets,
        b * subBlocks,
      );
  }
}
