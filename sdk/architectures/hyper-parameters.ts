import { ModelFormatError, UnsupportedError } from '../error.js';
import type { ModelFile } from '../model/model-file.js';
import type { ModelShape } from './architecture.js';

/** Hyper-parameters that the families read alike, under the keys `ARCHITECTURE.*` of GGUF. */
export interface CommonParameters extends Omit<ModelShape, 'activation' | 'routesBeforeAttention'> {
  readonly rope: { readonly dims: number; readonly freqBase: number; readonly freqScale: number };
}

/** Largest values taken from a file; far above any model, far below what would overflow a size. */
const LIMITS = {
  layers: 1024,
  width: 65_536,
  heads: 1024,
  headSize: 1024,
  experts: 4096,
  context: 16_777_216,
};

/**
 * Reads the common hyper-parameters and checks them against each other and the token embedding.
 * Throws ModelFormatError ("model/hyper-parameters") naming the key, UnsupportedError for rope scalings not run.
 */
export function commonParameters(file: ModelFile): CommonParameters {
  const { metadata: m, architecture: a } = file;
  const count = (key: string, max: number, fallback?: number): number => {
    const name = `${a}.${key}`;
    const value = fallback === undefined ? m.number(name) : m.numberOr(name, fallback);
    if (!Number.isInteger(value) || value < 1 || value > max)
      throw new ModelFormatError(
        'model/hyper-parameters',
        `${file.path}: ${name} is ${value}; expected a whole number from 1 to ${max}`,
        'The file is damaged or was made by a faulty converter; download or convert it again.',
      );
    return value;
  };
  const embedding = file.tensors.get('token_embd.weight');
  if (!embedding || embedding.shape.length !== 2)
    throw new ModelFormatError(
      'model/tensor',
      `${file.path}: tensor token_embd.weight is missing or has no two dimensions`,
      'The file is incomplete; download or convert it again.',
    );
  const layers = count('block_count', LIMITS.layers);
  const width = count('embedding_length', LIMITS.width);
  const heads = count('attention.head_count', LIMITS.heads);
  const kvHeads = count('attention.head_count_kv', LIMITS.heads, heads);
  const headSize = count('attention.key_length', LIMITS.headSize, Math.max(1, Math.floor(width / heads)));
  const valueSize = count('attention.value_length', LIMITS.headSize, headSize);
  const experts = count('expert_count', LIMITS.experts);
  const usedExperts = count('expert_used_count', experts);
  const dims = count('rope.dimension_count', headSize, headSize);
  const first = file.experts.values().next().value;
  if (!first || file.experts.size !== layers)
    throw new ModelFormatError(
      'model/tensor',
      `${file.path}: ${file.experts.size} of ${layers} layers have expert tensors (blk.N.ffn_gate_exps.weight …)`,
      'Only models whose every layer has experts in one tensor per role run; convert the model again with a current converter.',
    );
  const problem =
    heads % kvHeads !== 0
      ? `attention.head_count ${heads} is no multiple of head_count_kv ${kvHeads}`
      : valueSize !== headSize
        ? `attention.value_length ${valueSize} differs from key_length ${headSize}`
        : dims % 2 !== 0
          ? `rope.dimension_count ${dims} is odd`
          : headSize % 2 !== 0
            ? `the head size ${headSize} is odd`
            : embedding.shape[0] !== width
              ? `token_embd.weight is ${embedding.shape[0]} wide, embedding_length says ${width}`
              : null;
  if (problem)
    throw new ModelFormatError(
      'model/hyper-parameters',
      `${file.path}: ${problem}`,
      'The file is inconsistent; convert it again.',
    );
  const hidden = first.roles.gate.rows;
  for (const layer of file.experts.values()) {
    const { gate, up, down } = layer.roles;
    if (
      layer.layer >= layers ||
      layer.pieces.length !== experts ||
      [gate, up].some((r) => r.rows !== hidden || r.cols !== width) ||
      down.rows !== width ||
      down.cols !== hidden
    )
      throw new ModelFormatError(
        'model/tensor',
        `${file.path}: the experts of layer ${layer.layer} are not ${experts} of ${width} x ${hidden}`,
        'The file is inconsistent; convert it again.',
      );
  }
  const eps = m.number(`${a}.attention.layer_norm_rms_epsilon`);
  const freqBase = m.numberOr(`${a}.rope.freq_base`, 10_000);
  if (!(eps >= 0 && eps < 1) || !(freqBase > 1))
    throw new ModelFormatError(
      'model/hyper-parameters',
      `${file.path}: layer_norm_rms_epsilon ${eps} or rope.freq_base ${freqBase} makes no sense`,
      'The file is damaged; download or convert it again.',
    );
  return {
    layers,
    width,
    vocabulary: embedding.shape[1]!,
    contextLength: count('context_length', LIMITS.context),
    heads,
    kvHeads,
    headSize,
    experts,
    usedExperts,
    hidden,
    eps,
    rope: { dims, freqBase, freqScale: ropeScale(file) },
    buffers: { x: width, h: width, qkv: (heads + 2 * kvHeads) * headSize, attended: heads * headSize },
  };
}

function ropeScale(file: ModelFile): number {
  const { metadata: m, architecture: a } = file;
  const type = m.stringOr(`${a}.rope.scaling.type`, 'none');
  if (type === 'none') return 1;
  if (type === 'linear') {
    const factor = m.numberOr(`${a}.rope.scaling.factor`, 1);
    if (factor > 0) return 1 / factor;
  }
  throw new UnsupportedError(
    'unsupported/rope-scaling',
    `${file.path}: rope scaling "${type}" is not supported`,
    'Known scalings: none, linear.',
  );
}

/** Gating function from `ARCHITECTURE.expert_gating_func`: 1 softmax, 2 sigmoid. */
export function gatingFunction(file: ModelFile): 'softmax' | 'sigmoid' {
  const key = `${file.architecture}.expert_gating_func`;
  const value = file.metadata.number(key);
  if (value === 1) return 'softmax';
  if (value === 2) return 'sigmoid';
  throw new ModelFormatError(
    'model/hyper-parameters',
    `${file.path}: ${key} is ${value}; expected 1 (softmax) or 2 (sigmoid)`,
    'Set the key with a GGUF editor or convert the model again.',
  );
}
