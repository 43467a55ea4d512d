import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { EngineOptions } from '../../sdk/runtime/engine-options.js';
import { CACHE_POLICIES } from '../../sdk/experts/policies.js';
import { pack } from '../../sdk/pack/pack.js';
import { Random } from '../models/random.js';
import { bits, continueWith, logitsOf, openEngine } from './open-engine.js';

/** Whatever the budget, policy, lanes, timing or threads: the same bits. On the demo model, GGUF and package. */
const GGUF = 'models/home-assistant-q4.gguf';
const EXPERTS = 8 * 32;
const USED = 4;

let folder: string;
let packed: string;
let tokens: number[];
let prompt: number[];
let expected: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pocketmoe-streaming-'));
  packed = join(folder, 'demo.pocketmoe');
  await pack(GGUF, packed);
  const random = new Random('streaming');
  tokens = Array.from({ length: 48 }, () => random.uint32() % 4096);
  prompt = tokens.slice(0, 40);
  const engine = await openEngine(GGUF, { kv: 'f16' });
  expected = await run(engine);
  engine.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A prompt of 40 tokens in batches, then 8 tokens one by one. */
async function run(engine: Awaited<ReturnType<typeof openEngine>>, batch = 40): Promise<string[]> {
  const kv = engine.createKv(tokens.length);
  const rows = continueWith(engine, kv, prompt, batch);
  rows.push(...continueWith(engine, kv, tokens.slice(prompt.length), 1));
  engine.freeKv(kv);
  return bits(rows);
}

async function expectSame(path: string, options: EngineOptions, batch?: number): Promise<void> {
  const engine = await openEngine(path, { kv: 'f16', ...options });
  try {
    expect(await run(engine, batch)).toEqual(expected);
    const { experts } = engine.statistics();
    expect(experts.hits + experts.misses).toBe(experts.requests);
  } finally {
    engine.close();
  }
}

describe('streamed output equals resident output, bit for bit', () => {
  test.each([USED, 5, 7, 16, 61, 128, EXPERTS])('%i slots', async (expertSlots) => {
    await expectSame(packed, { expertSlots });
    await expectSame(GGUF, { expertSlots });
  });

  test.each(Object.keys(CACHE_POLICIES))('policy %s', (policy) =>
    expectSame(packed, { policy, expertSlots: 24 }),
  );

  test.each([1, 2, 3, 8])('%i lanes, pread and io_uring, direct and buffered', async (lanes) => {
    for (const flashBackend of ['pread', 'io_uring'] as const)
      for (const flash of ['direct', 'buffered'] as const)
        await expectSame(packed, { lanes, flashBackend, flash, expertSlots: 12 });
  });

  test.each([1, 2, 3, 4])('%i threads', (threads) => expectSame(packed, { threads, expertSlots: 12 }));

  test.each([1, 3, 17])('prompt in batches of %i', (batch) => expectSame(packed, { expertSlots: 12 }, batch));

  test.each([1, 2, 3])('random read delays, seed %i', async (seed) => {
    const engine = await openEngine(packed, { kv: 'f16', expertSlots: 9, threads: 2 });
    engine.flash.inject({ kind: 'jitter', seed, maxUs: 700 });
    expect(await run(engine)).toEqual(expected);
    expect(engine.statistics().experts.late).toBeGreaterThan(0);
    engine.close();
  });

  test('slots that grow and shrink between tokens', async () => {
    const engine = await openEngine(packed, { kv: 'f16', expertSlots: 30 });
    const slotBytes = engine.experts.slots.bytes / engine.experts.slots.count;
    const kv = engine.createKv(tokens.length);
    const rows: Float32Array[] = [];
    const random = new Random('resize');
    for (const token of tokens) {
      const slots = USED + (random.uint32() % (EXPERTS - USED));
      engine.experts.resize(new Map([[slotBytes, slots]]));
      expect(engine.experts.slots.count).toBe(slots);
      rows.push(...continueWith(engine, kv, [token], 1));
    }
    expect(bits(rows)).toEqual(expected);
    engine.close();
  });

  test('two conversations taking turns', async () => {
    const engine = await openEngine(packed, { kv: 'f16', expertSlots: 10 });
    const other = [...tokens].reverse();
    const alone = bits(logitsOf(engine, other));
    const first = engine.createKv(tokens.length);
    const second = engine.createKv(tokens.length);
    const rows: Float32Array[][] = [[], []];
    for (let i = 0; i < tokens.length; i++) {
      rows[0]!.push(...continueWith(engine, first, [tokens[i]!], 1));
      rows[1]!.push(...continueWith(engine, second, [other[i]!], 1));
    }
    expect(bits(rows[0]!)).toEqual(expected);
    expect(bits(rows[1]!)).toEqual(alone);
    engine.close();
  });

  test.each(['f16', 'q8_0', 'f32'] as const)('KV cache %s', async (kv) => {
    const resident = await openEngine(GGUF, { kv });
    const wanted = await run(resident);
    resident.close();
    await expectSameAs(wanted, { kv, expertSlots: 6, threads: 2 });
  });
});

async function expectSameAs(wanted: string[], options: EngineOptions): Promise<void> {
  const engine = await openEngine(packed, options);
  expect(await run(engine, 11)).toEqual(wanted);
  engine.close();
}
