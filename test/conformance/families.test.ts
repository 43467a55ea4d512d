import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pack } from '../../sdk/pack/pack.js';
import { bits, greedy, logitsOf, openEngine, worstDifference } from '../engine/open-engine.js';
import { generateModel } from '../models/generate-model.js';
import { Random } from '../models/random.js';
import { LlamaPeer } from '../peer/llama.js';
import { type Case, FAMILY_CASES, TYPE_CASES, WINDOW_CASE } from './cases.js';

/**
 * Agreement with llama.cpp, and of streamed with resident, on random models.
 *
 * Float32 differs by the order of sums only: about 1e-7; 1e-5 leaves room for shapes that sum longer rows.
 * Quantised weights multiply activations rounded to 8 bits: a difference of 1e-7 before rounding may move one of them
 * by a step of 1/127, so single rows may differ by some 1e-3. F16 and BF16: llama.cpp rounds activations to the
 * weights' type (2^-11, 2^-8), PocketMoE does not.
 */
const TOLERANCE = { F32: 1e-5, F16: 2e-3, BF16: 1.5e-2, quantised: 2e-2 };

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'pocketmoe-conformance-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const tokensOf = (c: Case, vocabulary: number): number[] => {
  const random = new Random(c.name);
  return Array.from({ length: c.prompt }, () => random.uint32() % vocabulary);
};

function model(c: Case): { path: string; tokens: number[] } {
  const path = join(folder, `${c.name.replaceAll(/\W+/g, '-')}.gguf`);
  const { vocabularySize } = generateModel(path, c.model);
  return { path, tokens: tokensOf(c, vocabularySize) };
}

describe('families: logits and greedy continuation equal to llama.cpp', () => {
  test.each(FAMILY_CASES)('$name', async (c) => {
    const { path, tokens } = model(c);
    const peer = LlamaPeer.open(path, { threads: 1, kvType: 'f32', contextLength: 256 });
    const engine = await openEngine(path, { contextLength: 256 });
    try {
      const resident = logitsOf(engine, tokens, c.batch);
      expect(worstDifference(resident, peer.logits(tokens))).toBeLessThan(TOLERANCE.F32);
      expect(greedy(engine, tokens, 64)).toEqual(peer.greedy(tokens, 64, []).tokens);

      const streaming = await openEngine(path, {
        contextLength: 256,
        expertSlots: c.model.used ?? 2,
        lanes: 2,
      });
      expect(bits(logitsOf(streaming, tokens, c.batch))).toEqual(bits(resident));
      streaming.close();
    } finally {
      peer.close();
      engine.close();
    }
  });
});

describe('weight types: logits equal to llama.cpp, packed and streamed', () => {
  test.each(TYPE_CASES)('$name', async (c) => {
    const { path, tokens } = model(c);
    const peer = LlamaPeer.open(path, { threads: 1, kvType: 'f32', contextLength: 256 });
    const engine = await openEngine(path, { contextLength: 256 });
    try {
      const resident = logitsOf(engine, tokens);
      const type = c.name.split(' ')[1]!;
      const tolerance = TOLERANCE[type as keyof typeof TOLERANCE] ?? TOLERANCE.quantised;
      expect(worstDifference(resident, peer.logits(tokens))).toBeLessThan(tolerance);

      const packed = join(folder, `${type}-${c.model.family}.pocketmoe`);
      await pack(path, packed);
      const streaming = await openEngine(packed, { contextLength: 256, expertSlots: c.model.used ?? 2 });
      expect(bits(logitsOf(streaming, tokens))).toEqual(bits(resident));
      streaming.close();
    } finally {
      peer.close();
      engine.close();
    }
  });
});

test(WINDOW_CASE.name, async () => {
  const { path, tokens } = model(WINDOW_CASE);
  const peer = LlamaPeer.open(path, { threads: 2, kvType: 'f32', contextLength: 4352, batch: 512 });
  const engine = await openEngine(path, { contextLength: 4352, batch: 512, threads: 2 });
  try {
    const found = logitsOf(engine, tokens);
    expect(worstDifference(found.slice(-64), peer.logits(tokens).slice(-64))).toBeLessThan(TOLERANCE.F32);
  } finally {
    peer.close();
    engine.close();
  }
});
