import { RopePairing } from '../../kernels/kernels.js';
import { topK } from '../routing/top-k.js';
import { architecture } from './architecture.js';
import { commonParameters } from './hyper-parameters.js';
import { layerWeights, outerWeights } from './layer-weights.js';

/** Qwen3-MoE (arXiv 2505.09388): RMS norm of every query and key head before rope; softmax router, normalised. */
export const qwen3moe = architecture({
  name: 'qwen3moe',
  models: 'Qwen3-30B-A3B, Qwen3-Coder-30B-A3B',

  shape(file) {
    return {
      ...commonParameters(file),
      activation: 'silu' as const,
      routesBeforeAttention: false,
    };
  },

  weights(dense, s) {
    return {
      ...outerWeights(dense, s),
      layers: Array.from({ length: s.layers }, (_, i) => ({
        ...layerWeights(dense, s, i),
        queryNorm: dense.vector(`blk.${i}.attn_q_norm.weight`, s.headSize),
        keyNorm: dense.vector(`blk.${i}.attn_k_norm.weight`, s.headSize),
      })),
    };
  },

  routing: (s) => topK({ k: s.usedExperts, normalise: true }),

  forward(pass, s, w) {
    const { x, h, qkv, attended } = pass.buffers('x', 'h', 'qkv', 'attended');
    pass.embed(w.embedding, x);
    w.layers.forEach((layer, i) => {
      pass.rmsNorm(x, layer.attentionNorm, h);
      pass.linear(layer.qkv, h, qkv);
      pass.normHeads(qkv, 'q', layer.queryNorm);
      pass.normHeads(qkv, 'k', layer.keyNorm);
      pass.rope(qkv, s.rope, RopePairing.Halves);
      pass.attention(i, qkv, attended);
      pass.linear(layer.output, attended, h);
      pass.add(h, x);
      pass.rmsNorm(x, layer.ffnNorm, h);
      const routes = pass.route(layer.router, h);
      pass.requestExperts(i, routes);
      pass.runExperts(i, routes, h, x);
    });
    pass.rmsNorm(x, w.outputNorm, h);
    pass.logits(w.head, h);
  },
});
