import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { OptionError } from '../../sdk/error.js';
import { belady } from '../../sdk/experts/belady.js';
import { cachePolicy, CACHE_POLICIES, DEFAULT_CACHE_POLICY } from '../../sdk/experts/policies.js';
import { replay } from '../../sdk/experts/replay.js';
import { SYNTHETIC_PRESETS, syntheticTrace } from '../../sdk/experts/synthetic-trace.js';
import { decodeTrace } from '../../sdk/experts/trace-file.js';
import { RoutingTrace } from '../../sdk/experts/trace.js';

const NAMES = Object.keys(CACHE_POLICIES);

test('counts by hand: one layer, two of four used, three slots', () => {
  const shape = { layers: 1, expertsPerLayer: 4, usedPerLayer: 2 };
  //                                   0 1    miss, miss
  //                                   1 2    hit, miss: full
  //                                   2 3    hit, miss: 0 leaves (LRU)
  //                                   0 1    miss: 2 leaves (used with 3, but first), hit
  const trace = new RoutingTrace(shape, Uint16Array.from([0, 1, 1, 2, 2, 3, 0, 1]));
  const lru = replay(trace, cachePolicy('lru'), 3);
  expect(lru).toMatchObject({ requests: 8, hits: 3, misses: 5, evictions: 2 });
  expect(lru.perLayer).toEqual([{ requests: 8, hits: 3, misses: 5, evictions: 2 }]);
  // The optimum keeps 0 or 1 when 3 comes, and has the other one to read: no better here.
  expect(belady(trace, 3)).toMatchObject({ hits: 3, misses: 5 });
});

test('a layer never evicts its own experts of the same visit', () => {
  const shape = { layers: 1, expertsPerLayer: 4, usedPerLayer: 2 };
  const trace = new RoutingTrace(shape, Uint16Array.from([0, 1, 2, 3, 0, 1]));
  for (const name of NAMES) {
    expect(replay(trace, cachePolicy(name), 2)).toMatchObject({ hits: 0, misses: 6, evictions: 4 });
  }
});

test('the layers add up to the whole, the warm-up is left out, and a replay repeats exactly', () => {
  const trace = syntheticTrace({ ...SYNTHETIC_PRESETS['demo']!, seed: 9 }, 120);
  for (const run of [
    ...NAMES.map((name) => (o: object) => replay(trace, cachePolicy(name), 60, o)),
    (o: object) => belady(trace, 60, o),
  ]) {
    const whole = run({});
    expect(run({})).toEqual(whole);
    for (const count of ['requests', 'hits', 'misses', 'evictions'] as const) {
      expect(whole.perLayer.reduce((sum, layer) => sum + layer[count], 0)).toBe(whole[count]);
    }
    const late = run({ warmupTokens: 100 });
    expect(late.requests).toBe(20 * 8 * 4);
    expect(late.misses).toBeLessThan(whole.misses);
  }
});

test('too few slots are refused, with the number that works', () => {
  const trace = syntheticTrace({ ...SYNTHETIC_PRESETS['demo']!, seed: 1 }, 2);
  for (const slots of [0, 3, 4.5, -1, NaN]) {
    expect(() => replay(trace, cachePolicy(), slots)).toThrow(OptionError);
    expect(() => belady(trace, slots)).toThrow(OptionError);
  }
  expect(replay(trace, cachePolicy(), 4).requests).toBe(64);
});

test('a policy that offers an expert in use or not resident is found out', () => {
  const trace = syntheticTrace({ ...SYNTHETIC_PRESETS['demo']!, seed: 1 }, 20);
  for (const wrong of [-1, 10_000]) {
    const broken = (): ReturnType<ReturnType<typeof cachePolicy>> => ({
      name: 'broken',
      touch() {},
      insert() {},
      remove() {},
      victim: () => wrong,
    });
    expect(() => replay(trace, broken, 8)).toThrow('broken');
  }
});

describe('the demo model, 100 requests as routed by llama.cpp', () => {
  const trace = decodeTrace(readFileSync(new URL('./demo-commands.trace', import.meta.url)));

  test('the trace is the demo model’s', () => {
    expect(trace).toMatchObject({ layers: 8, expertsPerLayer: 32, usedPerLayer: 4, tokens: 3812 });
  });

  test('the default policy reads at most half again of the optimum at half the experts, and less than the others', () => {
    const options = { warmupTokens: 200 };
    for (const slots of [26, 128, 192]) {
      const best = belady(trace, slots, options);
      const chosen = replay(trace, cachePolicy(), slots, options);
      if (slots <= 128) expect(chosen.misses).toBeLessThan(1.55 * best.misses);
      for (const name of NAMES.filter((other) => other !== DEFAULT_CACHE_POLICY)) {
        expect(chosen.misses).toBeLessThanOrEqual(
          1.01 * replay(trace, cachePolicy(name), slots, options).misses,
        );
      }
    }
  });
});
