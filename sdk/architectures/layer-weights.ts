import type { Memory } from '../../kernels/memory.js';
import type { LinearGroup } from '../../kernels/kernels.js';
import type { DenseWeights } from '../runtime/dense-weights.js';
import type { ModelShape } from './architecture.js';

/** The tensors that a layer of every family here has. */
export interface LayerWeights {
  readonly attentionNorm: Memory;
  /** Queries, keys and values of one input, in one pass. */
  readonly qkv: LinearGroup;
  readonly output: LinearGroup;
  readonly ffnNorm: Memory;
  readonly router: LinearGroup;
}

/** Names and loads them for layer `i`. */
export function layerWeights(dense: DenseWeights, s: ModelShape, i: number): LayerWeights {
  const q = s.heads * s.headSize;
  const kv = s.kvHeads * s.headSize;
  return {
    attentionNorm: dense.vector(`blk.${i}.attn_norm.weight`, s.width),
    qkv: dense.group(
      [
        [`blk.${i}.attn_q.weight`, q],
        [`blk.${i}.attn_k.weight`, kv],
        [`blk.${i}.attn_v.weight`, kv],
      ],
      s.width,
    ),
    output: dense.group([[`blk.${i}.attn_output.weight`, s.width]], q),
    ffnNorm: dense.vector(`blk.${i}.ffn_norm.weight`, s.width),
    router: dense.group([[`blk.${i}.ffn_gate_inp.weight`, s.experts]], s.width),
  };
}

/** Embedding, last norm and output head; the head falls back to the embedding when it is tied. */
export function outerWeights(dense: DenseWeights, s: ModelShape) {
  return {
    embedding: dense.matrix('token_embd.weight', s.vocabulary, s.width),
    outputNorm: dense.vector('output_norm.weight', s.width),
    head: dense.head('output.weight', 'token_embd.weight', s.vocabulary, s.width),
  };
}
