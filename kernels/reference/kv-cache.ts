import { WEIGHT_TYPES, WeightType, rowBytes } from '../weight-type.js';
import { quantiseQ8Block } from './activation-quantisation.js';
import { f32ToF16 } from './float16.js';

/** Bytes of one cache row. Throws RangeError for types that a cache cannot have. */
export function cacheRowBytes(type: number, elements: number): number {
  if (type !== WeightType.F32 && type !== WeightType.F16 && type !== WeightType.Q8_0)
    throw new RangeError(
      `a cache of type ${WEIGHT_TYPES.get(type)?.name ?? type} is not possible; F32, F16 and Q8_0 are`,
    );
  return rowBytes(type, elements);
}

const blockInts = new Int8Array(32);

/** `pm_kv_store` for one of keys and values: tokens' rows of `elements` floats → cache rows from pos0 on. */
export function storeRows(
  x: Float32Array,
  stride: number,
  cache: Uint8Array,
  type: number,
  tokens: number,
  pos0: number,
  elements: number,
): void {
  const bytes = cacheRowBytes(type, elements);
  if ((pos0 + tokens) * bytes > cache.length)
    throw new RangeError(`positions up to ${pos0 + tokens} do not fit a cache of ${cache.length} bytes`);
  const view = new DataView(cache.buffer, cache.byteOffset, cache.byteLength);
  for (let t = 0; t < tokens; t++) {
    const from = t * stride;
    const to = (pos0 + t) * bytes;
    if (type === WeightType.F32)
      for (let i = 0; i < elements; i++) view.setFloat32(to + i * 4, x[from + i]!, true);
    else if (type === WeightType.F16)
      for (let i = 0; i < elements; i++) view.setUint16(to + i * 2, f32ToF16(x[from + i]!), true);
    else
      for (let i = 0, at = to; i < elements; i += 32, at += 34) {
        view.setUint16(at, f32ToF16(quantiseQ8Block(x, from + i, blockInts, 0)), true);
        for (let j = 0; j < 32; j++) cache[at + 2 + j] = blockInts[j]!;
      }
  }
}
