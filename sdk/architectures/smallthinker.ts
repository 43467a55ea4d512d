import { RopePairing } from '../../kernels/kernels.js';
import { topK } from '../routing/top-k.js';
import { architecture } from './architecture.js';
import { commonParameters, gatingFunction } from './hyper-parameters.js';
import { layerWeights, outerWeights } from './layer-weights.js';

/** In models with a window, every fourth layer sees everything and does not rotate. */
const GLOBAL_LAYER_STEP = 4;

/**
 * SmallThinker (Song et al. 2025, arXiv 2507.20984): the router reads the residual that enters the layer, before
 * attention and before any norm, so a layer's experts are known, exactly, before its attention starts.
 */
export const smallthinker = architecture({
  name: 'smallthinker',
  models: 'SmallThinker 4B-A0.6B, 21B-A3B',

  shape(file) {
    return {
      ...commonParameters(file),
      gating: gatingFunction(file),
      window: file.metadata.numberOr('smallthinker.attention.sliding_window', 0),
      activation: 'relu' as const,
      routesBeforeAttention: true,
    };
  },

  weights(dense, s) {
    return {
      ...outerWeights(dense, s),
      layers: Array.from({ length: s.layers }, (_, i) => ({
        ...layerWeights(dense, s, i),
        rotates: s.window === 0 || i % GLOBAL_LAYER_STEP !== 0,
        window: i % GLOBAL_LAYER_STEP !== 0 ? s.window : 0,
      })),
    };
  },

  routing: (s) => topK({ k: s.usedExperts, gating: s.gating, normalise: true }),

  forward(pass, s, w) {
    const { x, h, qkv, attended } = pass.buffers('x', 'h', 'qkv', 'attended');
    pass.embed(w.embedding, x);
    w.layers.forEach((layer, i) => {
      const routes = pass.route(layer.router, x);
      pass.requestExperts(i, routes); // flash works from here on
      pass.rmsNorm(x, layer.attentionNorm, h);
      pass.linear(layer.qkv, h, qkv);
      if (layer.rotates) pass.rope(qkv, s.rope, RopePairing.Halves);
      pass.attention(i, qkv, attended, { window: layer.window });
      pass.linear(layer.output, attended, h);
      pass.add(h, x);
      pass.rmsNorm(x, layer.ffnNorm, h);
      pass.runExperts(i, routes, h, x); // x += the experts' weighted sum
    });
    pass.rmsNorm(x, w.outputNorm, h);
    pass.logits(w.head, h);
  },
});
