import { WeightType, rowBytes } from '../weight-type.js';
import { DecodedRow } from './block-format.js';
import { BLOCK_FORMATS } from './block-formats.js';
import { HALF_VALUES, bf16ToF32 } from './float16.js';

const { fround } = Math;

const scratch = new DecodedRow();

/**
 * Turns one row of `cols` weights (the first bytes of `bytes`) into float32, with the roundings of ggml's
 * dequantisers: the product is rounded, then the sum with the offset.
 * Throws RangeError for an unknown type, a column count that fills no whole blocks, and too short spans.
 */
export function dequantiseRow(type: number, bytes: Uint8Array, cols: number, out: Float32Array): void {
  const needed = rowBytes(type, cols);
  if (bytes.length < needed)
    throw new RangeError(`a row of ${cols} weights takes ${needed} bytes, but ${bytes.length} were given`);
  if (out.length < cols) throw new RangeError(`${cols} weights do not fit ${out.length} floats`);

  const format = BLOCK_FORMATS.get(type);
  if (!format) {
    floatRow(type, bytes, cols, out);
    return;
  }
  scratch.decode(format, bytes, 0, cols);
  const { ints, scales, offsets } = scratch;
  const { subBlock, hasOffsets } = format;
  for (let i = 0, s = 0; i < cols; s++) {
    const scale = scales[s]!;
    const end = i + subBlock;
    // Without an offset nothing is added: adding zero would turn -0 into 0.
    if (hasOffsets) for (const offset = offsets[s]!; i < end; i++) out[i] = fround(scale * ints[i]!) + offset;
    else for (; i < end; i++) out[i] = scale * ints[i]!;
  }
}

/** F32, F16 and BF16 rows, byte by byte: the span may start at any address. */
function floatRow(type: number, bytes: Uint8Array, cols: number, out: Float32Array): void {
  if (type === WeightType.F32) {
    new Uint8Array(out.buffer, out.byteOffset, cols * 4).set(bytes.subarray(0, cols * 4));
    return;
  }
  for (let i = 0; i < cols; i++) {
    const bits = bytes[2 * i]! | (bytes[2 * i + 1]! << 8);
    out[i] = type === WeightType.F16 ? HALF_VALUES[bits]! : bf16ToF32(bits);
  }
}
