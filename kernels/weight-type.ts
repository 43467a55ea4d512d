/** Weight types by their ggml number, as GGUF files write them. */
export const WeightType = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  BF16: 30,
  MXFP4: 39,
} as const;
export type WeightType = (typeof WeightType)[keyof typeof WeightType];

/** Name, weights per block and bytes per block of each type. */
export const WEIGHT_TYPES: ReadonlyMap<number, { name: string; blockSize: number; blockBytes: number }> = new Map([
  [WeightType.F32, { name: 'F32', blockSize: 1, blockBytes: 4 }],
  [WeightType.F16, { name: 'F16', blockSize: 1, blockBytes: 2 }],
  [WeightType.BF16, { name: 'BF16', blockSize: 1, blockBytes: 2 }],
  [WeightType.Q4_0, { name: 'Q4_0', blockSize: 32, blockBytes: 18 }],
  [WeightType.Q4_1, { name: 'Q4_1', blockSize: 32, blockBytes: 20 }],
  [WeightType.Q5_0, { name: 'Q5_0', blockSize: 32, blockBytes: 22 }],
  [WeightType.Q5_1, { name: 'Q5_1', blockSize: 32, blockBytes: 24 }],
  [WeightType.Q8_0, { name: 'Q8_0', blockSize: 32, blockBytes: 34 }],
  [WeightType.Q2_K, { name: 'Q2_K', blockSize: 256, blockBytes: 84 }],
  [WeightType.Q3_K, { name: 'Q3_K', blockSize: 256, blockBytes: 110 }],
  [WeightType.Q4_K, { name: 'Q4_K', blockSize: 256, blockBytes: 144 }],
  [WeightType.Q5_K, { name: 'Q5_K', blockSize: 256, blockBytes: 176 }],
  [WeightType.Q6_K, { name: 'Q6_K', blockSize: 256, blockBytes: 210 }],
  [WeightType.IQ4_NL, { name: 'IQ4_NL', blockSize: 32, blockBytes: 18 }],
  [WeightType.MXFP4, { name: 'MXFP4', blockSize: 32, blockBytes: 17 }],
]);

/** Bytes of one row of `cols` weights. Throws RangeError when cols is no multiple of the type's block. */
export function rowBytes(type: number, cols: number): number {
  const t = WEIGHT_TYPES.get(type);
  if (!t) throw new RangeError(`weight type ${type} is not known`);
  if (cols % t.blockSize !== 0)
    throw new RangeError(`${cols} columns do not fill blocks of ${t.blockSize} (${t.name})`);
  return (cols / t.blockSize) * t.blockBytes;
}
