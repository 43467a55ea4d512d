import { WeightType as W } from '../../kernels/weight-type.js';
import type { RandomModelOptions } from '../models/generate-model.js';

/** One random model that llama.cpp and PocketMoE both run. */
export interface Case {
  name: string;
  model: RandomModelOptions;
  /** Prompt length, tokens. */
  prompt: number;
  /** Tokens per pass; default: all at once. */
  batch?: number;
}

const small = { layers: 3, width: 64, heads: 4, kvHeads: 2, hidden: 64, experts: 8, used: 2 } as const;
/** Wide enough for blocks of 256. */
const wide = { layers: 2, width: 256, heads: 4, kvHeads: 2, hidden: 256, experts: 5, used: 2 } as const;

/** Shapes in float32: what is compared is the arithmetic of the families, not of quantisation. */
export const FAMILY_CASES: readonly Case[] = [
  {
    name: 'smallthinker, 4B form: tied, sigmoid, no window',
    model: { family: 'smallthinker', ...small, tied: true },
    prompt: 40,
  },
  {
    name: 'smallthinker, 21B form: window, 1 layer of 4 without rope',
    model: { family: 'smallthinker', ...small, layers: 5, experts: 16, used: 6, slidingWindow: 4096 },
    prompt: 40,
    batch: 7,
  },
  {
    name: 'smallthinker, softmax gating, odd counts',
    model: {
      family: 'smallthinker',
      ...small,
      gating: 1,
      experts: 7,
      used: 3,
      hidden: 96,
      heads: 6,
      kvHeads: 3,
      headSize: 16,
    },
    prompt: 33,
    batch: 8,
  },
  { name: 'smallthinker, top-1', model: { family: 'smallthinker', ...small, used: 1 }, prompt: 20 },
  {
    name: 'smallthinker, saturated router: equal scores',
    model: { family: 'smallthinker', ...small, experts: 32, used: 4, routerGain: 60 },
    prompt: 20,
  },
  { name: 'qwen3moe', model: { family: 'qwen3moe', ...small, experts: 16, used: 8 }, prompt: 40 },
  {
    name: 'qwen3moe, wide heads, odd experts, tied',
    model: { family: 'qwen3moe', ...small, headSize: 32, experts: 13, used: 5, tied: true },
    prompt: 33,
    batch: 16,
  },
  { name: 'olmoe', model: { family: 'olmoe', ...small, kvHeads: 4, experts: 16, used: 8 }, prompt: 40 },
  {
    name: 'olmoe, top-1, odd experts',
    model: { family: 'olmoe', ...small, kvHeads: 4, experts: 3, used: 1 },
    prompt: 24,
    batch: 5,
  },
  { name: 'llama (Mixtral)', model: { family: 'llama', ...small }, prompt: 40 },
  {
    name: 'llama, one KV head, odd width',
    model: { family: 'llama', ...small, width: 96, heads: 6, kvHeads: 1, hidden: 160, experts: 5, used: 3 },
    prompt: 33,
    batch: 9,
  },
  { name: 'granitemoe', model: { family: 'granitemoe', ...small }, prompt: 40 },
  {
    name: 'granitemoe, shared expert',
    model: { family: 'granitemoe', ...small, experts: 10, used: 4, sharedHidden: 96 },
    prompt: 33,
    batch: 12,
  },
];

/** Every weight type, on the family that skips rows and on one that does not. */
export const TYPE_CASES: readonly Case[] = Object.entries(W).flatMap(([name, weightType]) => {
  const blocksOf256 = name.includes('_K');
  return [
    {
      name: `smallthinker ${name}`,
      model: { family: 'smallthinker' as const, ...(blocksOf256 ? wide : small), weightType },
      prompt: 12,
    },
    {
      name: `qwen3moe ${name}`,
      model: { family: 'qwen3moe' as const, ...(blocksOf256 ? wide : small), weightType },
      prompt: 12,
    },
  ];
});

/** A prompt longer than the window: llama.cpp takes any window of this family as 4096. */
export const WINDOW_CASE: Case = {
  name: 'smallthinker, prompt longer than the window of 4096',
  model: {
    family: 'smallthinker',
    layers: 5,
    width: 64,
    heads: 2,
    kvHeads: 1,
    headSize: 32,
    hidden: 32,
    experts: 4,
    used: 1,
    slidingWindow: 4096,
    contextLength: 8192,
  },
  prompt: 4200,
};
