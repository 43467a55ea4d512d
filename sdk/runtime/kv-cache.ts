import type { Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import { rowBytes, WeightType } from '../../kernels/weight-type.js';
import { pageEnd } from '../model/page.js';

/** Element types a KV cache may have. */
export const KV_TYPES = { f16: WeightType.F16, q8_0: WeightType.Q8_0, f32: WeightType.F32 } as const;
export type KvType = keyof typeof KV_TYPES;

export interface KvShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** Bytes of a KV cache for `contextLength` tokens. Throws RangeError when q8_0 does not fit the head size. */
export function kvBytes(shape: KvShape, type: KvType, contextLength: number): number {
  return 2 * shape.layers * pageEnd(rowBytes(KV_TYPES[type], shape.kvHeads * shape.headSize) * contextLength);
}

/** Keys and values of one conversation: per layer one row per position, [kvHeads * headSize] of the cache's type. */
export class KvCache {
  readonly keys: readonly Memory[];
  readonly values: readonly Memory[];
  /** Positions filled. Lower it to forget the end of the conversation. */
  length = 0;

  constructor(
    private readonly kernels: Kernels,
    shape: KvShape,
    readonly type: KvType,
    readonly contextLength: number,
  ) {
    const bytes = pageEnd(rowBytes(KV_TYPES[type], shape.kvHeads * shape.headSize) * contextLength);
    const allocate = () => Array.from({ length: shape.layers }, () => kernels.alloc(bytes));
    this.keys = allocate();
    this.values = allocate();
  }

  free(): void {
    for (const memory of [...this.keys, ...this.values]) this.kernels.free(memory);
  }
}
