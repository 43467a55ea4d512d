import { WeightType } from '../weight-type.js';
import type { BlockFormat } from './block-format.js';
import { IQ4_NL, MXFP4 } from './codebook-blocks.js';
import { Q2_K, Q3_K, Q4_K, Q5_K, Q6_K } from './k-blocks.js';
import { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 } from './legacy-blocks.js';

/** The block format of every quantised weight type; F32, F16 and BF16 have none. */
export const BLOCK_FORMATS: ReadonlyMap<number, BlockFormat> = new Map([
  [WeightType.Q4_0, Q4_0],
  [WeightType.Q4_1, Q4_1],
  [WeightType.Q5_0, Q5_0],
  [WeightType.Q5_1, Q5_1],
  [WeightType.Q8_0, Q8_0],
  [WeightType.Q2_K, Q2_K],
  [WeightType.Q3_K, Q3_K],
  [WeightType.Q4_K, Q4_K],
  [WeightType.Q5_K, Q5_K],
  [WeightType.Q6_K, Q6_K],
  [WeightType.IQ4_NL, IQ4_NL],
  [WeightType.MXFP4, MXFP4],
]);
