import { RopePairing } from '../../kernels/kernels.js';
import { topK } from '../routing/top-k.js';
import { architecture } from './architecture.js';
import { commonParameters } from './hyper-parameters.js';
import { layerWeights, outerWeights } from './layer-weights.js';

/** Llama with experts (Mixtral, arXiv 2401.04088): rope over adjacent pairs; softmax router, normalised. */
export const llama = architecture({
  name: 'llama',
  models: 'Mixtral 8x7B and other Llama-form models with experts',

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
      ropeFactors: dense.optionalVector('rope_freqs.weight', s.rope.dims / 2),
      layers: Array.from({ length: s.layers }, (_, i) => layerWeights(dense, s, i)),
    };
  },

  routing: (s) => topK({ k: s.usedExperts, normalise: true }),

  forward(pass, s, w) {
    const { x, h, qkv, attended } = pass.buffers('x', 'h', 'qkv', 'attended');
    pass.embed(w.embedding, x);
    w.layers.forEach((layer, i) => {
      pass.rmsNorm(x, layer.attentionNorm, h);
      pass.linear(layer.qkv, h, qkv);
      pass.rope(qkv, s.rope, RopePairing.Adjacent, w.ropeFactors);
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
