import { closeSync, openSync, writeSync } from 'node:fs';
import { rowBytes, WEIGHT_TYPES, WeightType } from '../../kernels/weight-type.js';
import { GgufHeader, padding } from './gguf-header.js';
import { encodeRow, fillRandom } from './random-blocks.js';
import { Random } from './random.js';
import { addSyntheticVocabulary, copyVocabulary } from './vocabulary.js';

export type Family = 'smallthinker' | 'qwen3moe' | 'olmoe' | 'llama' | 'granitemoe';
export type MatrixRole = 'embedding' | 'output' | 'attention' | 'gate' | 'up' | 'down';

export interface RandomModelOptions {
  family: Family;
  /** Default 2. */
  layers?: number;
  /** Default 64. */
  width?: number;
  /** Query heads; default 4. */
  heads?: number;
  /** Default 2 (olmoe: as many as heads, always). */
  kvHeads?: number;
  /** Default width / heads (olmoe: always). */
  headSize?: number;
  /** FFN width of one expert; default 32. */
  hidden?: number;
  /** Default 8. */
  experts?: number;
  /** Experts used per token; default 2. */
  used?: number;
  /** Tokens of a made-up vocabulary (259 or more; default 512), or a GGUF file whose tokenizer is copied. */
  vocabulary?: number | { copyFrom: string };
  /** Type of matrices; default F32. Norms and routers are F32 always. */
  weightType?: WeightType;
  /** Types that differ from weightType, by role. Shared experts count as gate, up and down. */
  types?: Partial<Record<MatrixRole, WeightType>>;
  /** Default 1. */
  seed?: number;
  /**
   * Gain of attn_output and ffn_down; default 0.05. Keep it small: in a deep random model with natural gains one
   * rounding difference flips a router, and no two correct engines agree.
   */
  residualGain?: number;
  /** Deviation of logits, about; default 2. */
  outputGain?: number;
  /** Deviation of router logits, about; default 1. */
  routerGain?: number;
  /** Size of a mean vector common to all tokens, which makes experts unevenly popular; default 0 (flat). */
  skew?: number;
  /** No output.weight: the embedding is the head; default false. Not for olmoe. */
  tied?: boolean;
  /** smallthinker: writes the window key (llama.cpp then takes 4096 and rotates 3 layers of 4); default none. */
  slidingWindow?: number;
  /** smallthinker: 1 softmax, 2 sigmoid (default). */
  gating?: 1 | 2;
  /** granitemoe; defaults: embedding 12, residual 0.22, attention 1 / headSize, logit 6. */
  scales?: { embedding?: number; residual?: number; attention?: number; logit?: number };
  /** granitemoe: FFN width of an ungated shared expert; default none. */
  sharedHidden?: number;
  /** Default 10000. */
  ropeBase?: number;
  /** Default 1e-6. */
  epsilon?: number;
  /** Default 4096. */
  contextLength?: number;
  /** Default 32. */
  alignment?: number;
}

export interface GeneratedModel {
  path: string;
  bytes: number;
  parameters: number;
  vocabularySize: number;
  tensors: number;
}

interface Plan {
  name: string;
  shape: readonly number[];
  type: number;
  /** Writes rows of shape[0] weights into whole blocks. */
  fill(bytes: Uint8Array, random: Random): void;
}

/** Bytes made at a time: bounds memory for models of any size. */
const CHUNK_BYTES = 1 << 20;

/**
 * Writes a GGUF v3 file with random weights under real tensor names and keys. Synchronous; memory stays at a few MiB
 * beside the vocabulary. Equal options give equal bytes. Throws RangeError for shapes that the family or the
 * weight type does not allow.
 */
export function generateModel(path: string, options: RandomModelOptions): GeneratedModel {
  const alignment = options.alignment ?? 32;
  const header = new GgufHeader();
  addHyperparameters(header, options);
  let vocabularySize: number;
  if (typeof options.vocabulary === 'object') vocabularySize = copyVocabulary(header, options.vocabulary.copyFrom);
  else addSyntheticVocabulary(header, (vocabularySize = options.vocabulary ?? 512));

  const tensors = planTensors(options, vocabularySize);
  const lengths = tensors.map((t) => rowBytes(t.type, t.shape[0]!) * rows(t));
  let end = 0;
  const offsets = lengths.map((length) => {
    const offset = end;
    end += length + padding(length, alignment);
    return offset;
  });
  const head = header.bytes(
    tensors.map((tensor, i) => ({ ...tensor, offset: offsets[i]! })),
    alignment,
  );

  const file = openSync(path, 'w');
  try {
    writeAll(file, head);
    tensors.forEach((tensor, i) => {
      writeTensor(file, tensor, new Random(`${options.seed ?? 1} ${tensor.name}`));
      writeAll(file, new Uint8Array(padding(lengths[i]!, alignment)));
    });
  } finally {
    closeSync(file);
  }
  const parameters = tensors.reduce((sum, t) => sum + t.shape.reduce((n, d) => n * d, 1), 0);
  return { path, bytes: head.length + end, parameters, vocabularySize, tensors: tensors.length };
}

interface Shape {
  layers: number;
  width: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  hidden: number;
  experts: number;
  used: number;
}

function shapeOf(options: RandomModelOptions): Shape {
  const { layers = 2, width = 64, heads = 4, hidden = 32, experts = 8, used = 2 } = options;
  const whole = options.family === 'olmoe';
  const kvHeads = options.kvHeads ?? (whole ? heads : 2);
  const headSize = options.headSize ?? width / heads;
  if (whole && (kvHeads !== heads || headSize * heads !== width))
    throw new RangeError('olmoe needs kvHeads = heads and headSize = width / heads');
  if (heads % kvHeads !== 0) throw new RangeError(`${heads} heads do not share ${kvHeads} KV heads evenly`);
  if (headSize % 2 !== 0) throw new RangeError(`rope needs an even head size, not ${headSize}`);
  if (used > experts) throw new RangeError(`${used} of ${experts} experts cannot be used`);
  if (whole && options.tied) throw new RangeError('olmoe has no tied head');
  return { layers, width, heads, kvHeads, headSize, hidden, experts, used };
}

function scalesOf(options: RandomModelOptions) {
  if (options.family !== 'granitemoe') return { embedding: 1, residual: 1, attention: 0, logit: 1 };
  const { headSize } = shapeOf(options);
  return { embedding: 12, residual: 0.22, attention: 1 / headSize, logit: 6, ...options.scales };
}

function addHyperparameters(header: GgufHeader, options: RandomModelOptions): void {
  const { family } = options;
  const shape = shapeOf(options);
  const key = (name: string) => `${family}.${name}`;
  header.string('general.architecture', family);
  header.string('general.type', 'model');
  header.string('general.name', `random ${family}`);
  header.uint32('general.quantization_version', 2);
  if (options.alignment) header.uint32('general.alignment', options.alignment);
  header.uint32(key('block_count'), shape.layers);
  header.uint32(key('context_length'), options.contextLength ?? 4096);
  header.uint32(key('embedding_length'), shape.width);
  header.uint32(key('feed_forward_length'), shape.hidden);
  header.uint32(key('attention.head_count'), shape.heads);
  header.uint32(key('attention.head_count_kv'), shape.kvHeads);
  header.uint32(key('attention.key_length'), shape.headSize);
  header.uint32(key('attention.value_length'), shape.headSize);
  header.float32(key('attention.layer_norm_rms_epsilon'), options.epsilon ?? 1e-6);
  header.float32(key('rope.freq_base'), options.ropeBase ?? 10000);
  header.uint32(key('rope.dimension_count'), shape.headSize);
  header.uint32(key('expert_count'), shape.experts);
  header.uint32(key('expert_used_count'), shape.used);
  if (family === 'smallthinker' || family === 'qwen3moe')
    header.uint32(key('expert_feed_forward_length'), shape.hidden);
  if (family === 'smallthinker') {
    header.uint32(key('expert_gating_func'), options.gating ?? 2);
    if (options.slidingWindow !== undefined) header.uint32(key('attention.sliding_window'), options.slidingWindow);
  }
  if (family === 'granitemoe') {
    const scales = scalesOf(options);
    header.float32(key('embedding_scale'), scales.embedding);
    header.float32(key('residual_scale'), scales.residual);
    header.float32(key('attention.scale'), scales.attention);
    header.float32(key('logit_scale'), scales.logit);
    if (options.sharedHidden) header.uint32(key('expert_shared_feed_forward_length'), options.sharedHidden);
  }
}

function planTensors(options: RandomModelOptions, vocabularySize: number): Plan[] {
  const { layers, width, heads, kvHeads, headSize, hidden, experts } = shapeOf(options);
  const scales = scalesOf(options);
  // The scales of granitemoe are taken back in the weights, so that gains mean the same in every family.
  const residualGain = (options.residualGain ?? 0.05) / scales.residual;
  const outputGain = (options.outputGain ?? 2) * scales.logit;
  const typeOf = (role: MatrixRole) => options.types?.[role] ?? options.weightType ?? WeightType.F32;
  const plans: Plan[] = [];

  const matrix = (name: string, shape: readonly number[], role: MatrixRole, gain = 1) => {
    const type = typeOf(role);
    const rms = gain / Math.sqrt(shape[0]!);
    plans.push({ name, shape, type, fill: (bytes, random) => fillRandom(type, bytes, rms, random) });
  };
  const vector = (name: string, length: number, make: (random: Random) => number) =>
    plans.push({
      name,
      shape: [length],
      type: WeightType.F32,
      fill: (bytes, random) =>
        encodeRow(WeightType.F32, Float32Array.from({ length }, () => make(random)), bytes),
    });
  const norm = (name: string, length: number) => vector(name, length, (random) => 0.95 + 0.1 * random.uniform());

  plans.push(planEmbedding(options, typeOf('embedding'), width, vocabularySize, 1 / scales.embedding));
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string) => `blk.${layer}.${part}.weight`;
    norm(name('attn_norm'), width);
    matrix(name('attn_q'), [width, heads * headSize], 'attention');
    matrix(name('attn_k'), [width, kvHeads * headSize], 'attention');
    matrix(name('attn_v'), [width, kvHeads * headSize], 'attention');
    if (options.family === 'qwen3moe' || options.family === 'olmoe') {
      const length = options.family === 'olmoe' ? width : headSize;
      norm(name('attn_q_norm'), length);
      norm(name('attn_k_norm'), length);
    }
    matrix(name('attn_output'), [heads * headSize, width], 'attention', residualGain);
    norm(name('ffn_norm'), width);
    const routerRms = (options.routerGain ?? 1) / Math.sqrt(width);
    plans.push({
      name: name('ffn_gate_inp'),
      shape: [width, experts],
      type: WeightType.F32,
      fill: (bytes, random) => fillRandom(WeightType.F32, bytes, routerRms, random),
    });
    matrix(name('ffn_gate_exps'), [width, hidden, experts], 'gate');
    matrix(name('ffn_up_exps'), [width, hidden, experts], 'up');
    matrix(name('ffn_down_exps'), [hidden, width, experts], 'down', residualGain);
    if (options.family === 'granitemoe' && options.sharedHidden) {
      matrix(name('ffn_gate_shexp'), [width, options.sharedHidden], 'gate');
      matrix(name('ffn_up_shexp'), [width, options.sharedHidden], 'up');
      matrix(name('ffn_down_shexp'), [options.sharedHidden, width], 'down', residualGain);
    }
  }
  if (options.tied) {
    // With small residual gains the last row is close to the token's own embedding. Random signs keep a tied head
    // from simply naming the same token again.
    const size = (outputGain * scales.embedding) / Math.sqrt(width);
    vector('output_norm.weight', width, (random) => (random.uint32() & 1 ? size : -size) * (0.95 + 0.1 * random.uniform()));
  } else {
    norm('output_norm.weight', width);
    matrix('output.weight', [width, vocabularySize], 'output', outputGain);
  }
  return plans;
}

function planEmbedding(
  options: RandomModelOptions,
  type: WeightType,
  width: number,
  vocabularySize: number,
  rms: number,
): Plan {
  const name = 'token_embd.weight';
  const shape = [width, vocabularySize];
  const skew = options.skew ?? 0;
  if (skew === 0) return { name, shape, type, fill: (bytes, random) => fillRandom(type, bytes, rms, random) };
  const common = new Random(`${options.seed ?? 1} skew`);
  const mean = Float32Array.from({ length: width }, () => common.normal() * skew);
  const row = new Float32Array(width);
  const length = rowBytes(type, width);
  return {
    name,
    shape,
    type,
    fill(bytes, random) {
      for (let at = 0; at < bytes.length; at += length) {
        for (let i = 0; i < width; i++) row[i] = (mean[i]! + random.normal()) * rms;
        encodeRow(type, row, bytes.subarray(at, at + length));
      }
    },
  };
}

function rows(tensor: Plan): number {
  return tensor.shape.slice(1).reduce((n, d) => n * d, 1);
}

function writeTensor(file: number, tensor: Plan, random: Random): void {
  const rowLength = rowBytes(tensor.type, tensor.shape[0]!);
  const step = Math.max(1, Math.floor(CHUNK_BYTES / rowLength));
  const chunk = new Uint8Array(Math.min(step, rows(tensor)) * rowLength);
  for (let left = rows(tensor); left > 0; left -= step) {
    const part = chunk.subarray(0, Math.min(step, left) * rowLength);
    tensor.fill(part, random);
    writeAll(file, part);
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done);
}

/** Name of a weight type, for test titles. */
export function weightTypeName(type: WeightType): string {
  return WEIGHT_TYPES.get(type)!.name;
}
