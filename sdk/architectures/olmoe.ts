import { RopePairing } from '../../kernels/kernels.js';
import { topK } from '../routing/top-k.js';
import { architecture } from './architecture.js';
import { commonParameters } from './hyper-parameters.js';
import { layerWeights, outerWeights } from './layer-weights.js';

/**
 * OLMoE (arXiv 2409.02060): queries and keys are normalised over their whole row before they are split into heads;
 * softmax router whose chosen probabilities are not divided by their sum.
 */
export const olmoe = architecture({
  name: 'olmoe',
  models: 'OLMoE-1B-7B',

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
        queryNorm: dense.vector(`blk.${i}.attn_q_norm.weight`, s.heads * s.headSize),
        keyNorm: dense.vector(`blk.${i}.attn_k_norm.weight`, s.kvHeads * s.headSize),
      })),
    };
  },

  routing: (s) => topK({ k: s.usedExperts }),

  forward(pass, s, w) {
    const { x, h, qkv, attended } = pass.buffers('x', 'h', 'qkv', 'attended');
    pass.embed(w.embedding, x);
    w.layers.forEach((layer, i) => {
      pass.rmsNorm(x, layer.attentionNorm, h);
      pass.linear(layer.qkv, h, qkv);
      pass.normRow(qkv, 'q', layer.queryNorm);
      pass.normRow(qkv, 'k', layer.keyNorm);
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
