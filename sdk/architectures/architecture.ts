import type { ModelFile } from '../model/model-file.js';
import type { DenseWeights } from '../runtime/dense-weights.js';
import type { Pass } from '../runtime/pass.js';
import type { RoutingRule } from '../routing/routing-rule.js';

/** What the runtime must know of any model, whatever its family. Read from metadata, checked against the tensors. */
export interface ModelShape {
  readonly layers: number;
  /** Residual width (embedding length). */
  readonly width: number;
  readonly vocabulary: number;
  /** Longest context the model was made for, tokens. */
  readonly contextLength: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly experts: number;
  readonly usedExperts: number;
  /** Expert FFN width. */
  readonly hidden: number;
  /** Epsilon of the RMS norms. */
  readonly eps: number;
  /** Activation of the experts. */
  readonly activation: 'relu' | 'silu';
  /** The router reads the state before attention, so experts are requested before attention runs. */
  readonly routesBeforeAttention: boolean;
  /** Floats per token of every activation buffer that the forward pass names. */
  readonly buffers: Readonly<Record<string, number>>;
}

/**
 * One model family. To add one: write a file like `qwen3moe.ts`, list it in `families.ts`, and add its shapes to
 * `test/conformance`. The streaming core needs no change.
 */
export interface Architecture<Shape extends ModelShape = ModelShape, Weights = unknown> {
  /** general.architecture in GGUF. */
  readonly name: string;
  /** Models people know it by; for messages. */
  readonly models: string;
  /** Reads and checks hyper-parameters. Throws ModelFormatError or UnsupportedError naming the key. */
  shape(file: ModelFile): Shape;
  /** Names the dense tensors; allocates and queues them for reading. */
  weights(dense: DenseWeights, shape: Shape): Weights;
  /** How experts are chosen. */
  routing(shape: Shape): RoutingRule;
  /** One batch of tokens through all layers, ending in pass.logits(). */
  forward(pass: Pass, shape: Shape, weights: Weights): void;
}

/** Lets a family keep its own types while the registry holds any. */
export function architecture<Shape extends ModelShape, Weights>(
  family: Architecture<Shape, Weights>,
): Architecture {
  return family as unknown as Architecture;
}
