import { RopePairing } from '../../kernels/kernels.js';
import { topK } from '../routing/top-k.js';
import { architecture } from './architecture.js';
import { commonParameters } from './hyper-parameters.js';
import { layerWeights, outerWeights } from './layer-weights.js';

/**
 * Granite MoE (IBM Granite 3 and 4): scales on embedding, residual branches, attention and logits; softmax router,
 * normalised; an optional shared expert runs beside the routed ones, ungated.
 */
export const granitemoe = architecture({
  name: 'granitemoe',
  models: 'Granite 3.x 1B-A400M, 3B-A800M',

  shape(file) {
    const common = commonParameters(file);
    const m = file.metadata;
    const shared = file.tensors.get('blk.0.ffn_gate_shexp.weight')?.shape[1] ?? 0;
    return {
      ...common,
      embeddingScale: m.numberOr('granitemoe.embedding_scale', 1),
      residualScale: m.numberOr('granitemoe.residual_scale', 1),
      // zero means "not given" in GGUF
      attentionScale: m.numberOr('granitemoe.attention.scale', 0) || 1 / Math.sqrt(common.headSize),
      logitScale: 1 / (m.numberOr('granitemoe.logit_scale', 1) || 1),
      /** Granite says with this key whether it rotates at all. */
      rotates: m.booleanOr('granitemoe.rope.scaling.finetuned', true),
      shared,
      activation: 'silu' as const,
      routesBeforeAttention: false,
      buffers: {
        ...common.buffers,
        ...(shared > 0 && { sharedGateUp: 2 * shared, sharedHidden: shared, sharedOut: common.width }),
      },
    };
  },

  weights(dense, s) {
    return {
      ...outerWeights(dense, s),
      layers: Array.from({ length: s.layers }, (_, i) => ({
        ...layerWeights(dense, s, i),
        shared:
          s.shared === 0
            ? null
            : {
                gateUp: dense.group(
                  [
                    [`blk.${i}.ffn_gate_shexp.weight`, s.shared],
                    [`blk.${i}.ffn_up_shexp.weight`, s.shared],
                  ],
                  s.width,
                ),
                down: dense.group([[`blk.${i}.ffn_down_shexp.weight`, s.width]], s.shared),
              },
      })),
    };
  },

  routing: (s) => topK({ k: s.usedExperts, normalise: true }),

  forward(pass, s, w) {
    const { x, h, qkv, attended } = pass.buffers('x', 'h', 'qkv', 'attended');
    pass.embed(w.embedding, x);
    pass.scale(x, s.embeddingScale);
    w.layers.forEach((layer, i) => {
      pass.rmsNorm(x, layer.attentionNorm, h);
      pass.linear(layer.qkv, h, qkv);
      if (s.rotates) pass.rope(qkv, s.rope, RopePairing.Adjacent);
      pass.attention(i, qkv, attended, { scale: s.attentionScale });
      pass.linear(layer.output, attended, h);
      pass.add(h, x, s.residualScale);
      pass.rmsNorm(x, layer.ffnNorm, h);
      const routes = pass.route(layer.router, h);
      pass.requestExperts(i, routes);
      if (layer.shared) {
        const { sharedGateUp, sharedHidden, sharedOut } = pass.buffers(
          'sharedGateUp',
          'sharedHidden',
          'sharedOut',
        );
        pass.linear(layer.shared.gateUp, h, sharedGateUp);
        pass.gated(sharedGateUp, sharedHidden, 'silu');
        pass.linear(layer.shared.down, sharedHidden, sharedOut); // while the routed experts are on their way
        pass.add(sharedOut, x, s.residualScale);
      }
      pass.runExperts(i, routes, h, x, s.residualScale);
    });
    pass.rmsNorm(x, w.outputNorm, h);
    pass.logits(w.head, h, s.logitScale);
  },
});
