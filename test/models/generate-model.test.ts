import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { WeightType } from '../../kernels/weight-type.js';
import { LlamaPeer } from '../peer/llama.js';
import { brainBits, halfBits } from './float-bits.js';
import { generateModel, weightTypeName, type Family, type RandomModelOptions } from './generate-model.js';
import { encodeRow } from './random-blocks.js';

const DEMO = new URL('../../models/home-assistant-q4.gguf', import.meta.url).pathname;
const FAMILIES: Family[] = ['smallthinker', 'qwen3moe', 'olmoe', 'llama', 'granitemoe'];
const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-models-'));
afterAll(() => rmSync(folder, { recursive: true }));

function write(options: RandomModelOptions): string {
  const path = join(folder, 'model.gguf');
  const made = generateModel(path, options);
  expect(statSync(path).size).toBe(made.bytes);
  return path;
}

/** Logits of a fixed prompt, from llama.cpp. */
function logits(options: RandomModelOptions, tokens = [3, 1, 4, 1, 5, 9, 2, 6]): Float32Array[] {
  const peer = LlamaPeer.open(write(options), { contextLength: 256 });
  try {
    return peer.logits(tokens);
  } finally {
    peer.close();
  }
}

function deviation(row: Float32Array): number {
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  return Math.sqrt(row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length);
}

describe('random models that llama.cpp loads and runs', () => {
  const forms: RandomModelOptions[] = [
    ...FAMILIES.map((family) => ({ family })),
    ...FAMILIES.filter((family) => family !== 'olmoe').map((family) => ({ family, tied: true })),
    { family: 'smallthinker', gating: 1 },
    { family: 'smallthinker', slidingWindow: 4096, layers: 5 },
    { family: 'granitemoe', sharedHidden: 96 },
    { family: 'granitemoe', scales: { embedding: 1, residual: 1, attention: 0.25, logit: 1 } },
    { family: 'qwen3moe', experts: 7, used: 7, hidden: 96, width: 96, heads: 6, kvHeads: 3, headSize: 32 },
    { family: 'llama', experts: 5, used: 1, layers: 1 },
    { family: 'smallthinker', skew: 1, weightType: WeightType.Q8_0 },
    { family: 'smallthinker', skew: 1, weightType: WeightType.Q4_0 },
    { family: 'smallthinker', vocabulary: { copyFrom: DEMO }, alignment: 4096 },
    { family: 'llama', vocabulary: 259 },
    { family: 'olmoe', vocabulary: 70_000 },
  ];
  test.each(forms.map((form) => [JSON.stringify(form), form] as const))('%s', (_, form) => {
    const rows = logits(form);
    for (const row of rows) {
      expect(deviation(row)).toBeGreaterThan(1);
      expect(deviation(row)).toBeLessThan(4);
    }
  });

  test.each(Object.values(WeightType).map((type) => [weightTypeName(type), type] as const))('weights %s', (_, type) => {
    const rows = logits({ family: 'qwen3moe', width: 256, hidden: 256, weightType: type, seed: 3 });
    for (const row of rows) {
      expect(deviation(row)).toBeGreaterThan(1);
      expect(deviation(row)).toBeLessThan(4);
    }
  });

  test('types may differ by role', () => {
    const types = { down: WeightType.Q6_K, embedding: WeightType.F16, output: WeightType.Q8_0 };
    const rows = logits({ family: 'smallthinker', width: 256, hidden: 256, weightType: WeightType.Q4_K, types });
    expect(deviation(rows[7]!)).toBeGreaterThan(1);
  });

  test('layers matter to the result', () => {
    const [one, two] = [1, 2].map((layers) => logits({ family: 'llama', layers })[7]!);
    expect(deviation(one!.map((x, i) => x - two![i]!))).toBeGreaterThan(0.01);
  });

  test('a tied head does not repeat the token', () => {
    const peer = LlamaPeer.open(write({ family: 'smallthinker', tied: true }), { contextLength: 256 });
    const { tokens } = peer.greedy([5], 20, []);
    peer.close();
    for (let i = 1; i < tokens.length; i++) expect(tokens[i]).not.toBe(tokens[i - 1]);
  });
});

describe('files', () => {
  const digest = (options: RandomModelOptions) => createHash('sha256').update(readFileSync(write(options))).digest('hex');

  test('equal options give equal bytes, another seed gives others', () => {
    const options: RandomModelOptions = { family: 'llama', weightType: WeightType.Q4_K, width: 256, hidden: 256 };
    expect(digest({ ...options, seed: 7 })).toBe(digest({ ...options, seed: 7 }));
    expect(digest({ ...options, seed: 7 })).not.toBe(digest({ ...options, seed: 8 }));
  });

  test.each<[string, RandomModelOptions, RegExp]>([
    ['blocks that do not fill', { family: 'llama', hidden: 48, weightType: WeightType.Q8_0 }, /48 columns/],
    ['a tied olmoe', { family: 'olmoe', tied: true }, /no tied head/],
    ['an olmoe with fewer KV heads', { family: 'olmoe', kvHeads: 2 }, /kvHeads = heads/],
    ['more used than there are', { family: 'llama', experts: 2, used: 3 }, /3 of 2/],
    ['an odd head size', { family: 'llama', headSize: 15 }, /even head size/],
    ['uneven groups', { family: 'llama', heads: 4, kvHeads: 3 }, /evenly/],
    ['a vocabulary without all bytes', { family: 'llama', vocabulary: 258 }, /259/],
    ['a skewed embedding in a type without encoder', { family: 'llama', skew: 1, width: 256, weightType: WeightType.Q2_K, types: { down: WeightType.F32 } }, /not as type 10/],
  ])('refuses %s', (_, options, message) => {
    expect(() => generateModel(join(folder, 'refused.gguf'), options)).toThrow(message);
  });
});

describe('encoding', () => {
  test.each([
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65520, 0x7c00],
    [Infinity, 0x7c00],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [3 * 2 ** -25, 2],
    [2 ** -14, 0x400],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
  ])('half of %d', (value, bits) => {
    expect(halfBits(value)).toBe(bits);
  });

  test('brain floats round to even', () => {
    expect(brainBits(1)).toBe(0x3f80);
    expect(brainBits(1 + 2 ** -8)).toBe(0x3f80);
    expect(brainBits(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(brainBits(-1)).toBe(0xbf80);
  });

  test('rows of zeros and of one peak', () => {
    const zeros = new Uint8Array(34);
    encodeRow(WeightType.Q8_0, new Float32Array(32), zeros);
    expect(zeros).toEqual(new Uint8Array(34));
    const peak = new Float32Array(32);
    peak[3] = -8;
    const q4 = new Uint8Array(18);
    encodeRow(WeightType.Q4_0, peak, q4);
    // Scale 1; the peak is code 0 (−8), zeros are code 8.
    expect([...q4]).toEqual([0, 0x3c, 0x88, 0x88, 0x88, 0x80, ...Array<number>(12).fill(0x88)]);
  });
});
