import { Gating } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import type { RoutingRule } from './routing-rule.js';

export interface TopKOptions {
  /** Experts per token. */
  k: number;
  /** What turns logits into probabilities. Default softmax over all experts. */
  gating?: keyof typeof GATINGS;
  /** Divide the chosen probabilities by their sum. Default false. */
  normalise?: boolean;
  /** Multiplies the weights. Default 1. */
  scale?: number;
  /** float32 per expert, added for the selection only. Default none. */
  bias?: Memory | null;
  /** Keep the `groupsUsed` best of `groups` equal groups of experts (by their best two). Default 1 of 1. */
  groups?: number;
  groupsUsed?: number;
}

const GATINGS = {
  softmax: Gating.Softmax,
  sigmoid: Gating.Sigmoid,
  'softmax-selected': Gating.SoftmaxSelected,
} as const;

/**
 * The pipeline that most families share: gating, optional selection bias and groups, top-k (equal scores in the order
 * of ggml's sort), weights from the unbiased probabilities, optional division by their sum, optional scale (DeepSeek-V3
 * report, section 2.1.2; with the defaults plain top-k of Shazeer et al. 2017).
 */
export function topK(options: TopKOptions): RoutingRule {
  const {
    k,
    gating = 'softmax',
    normalise = false,
    scale = 1,
    bias = null,
    groups = 1,
    groupsUsed = 1,
  } = options;
  const native = { k, gating: GATINGS[gating], bias, groups, groupsUsed, normalise, scale };
  return {
    name: 'top-k',
    k,
    route(kernels, logits, experts, routes) {
      kernels.route(logits, routes.tokens, experts, native, routes.ids, routes.weights);
    },
  };
}
