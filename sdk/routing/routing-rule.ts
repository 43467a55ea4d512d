import type { Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';

/** The experts chosen for a batch: `k` per token, best first. Reused from layer to layer. */
export interface Routes {
  tokens: number;
  readonly k: number;
  /** [tokens][k] expert numbers. */
  readonly ids: Int32Array;
  /** [tokens][k] weights of their outputs. */
  readonly weights: Float32Array;
}

/**
 * Turns router logits into experts and weights. One file per rule; a rule is a pure function of the logits, so
 * that routing never depends on what happens to be in memory.
 */
export interface RoutingRule {
  readonly name: string;
  /** Experts per token. */
  readonly k: number;
  /** logits: float32 [tokens][experts]. Fills routes.ids and routes.weights for routes.tokens tokens. */
  route(kernels: Kernels, logits: Memory, experts: number, routes: Routes): void;
}
