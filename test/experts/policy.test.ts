import { describe, expect, test } from '@jest/globals';
import { OptionError } from '../../sdk/error.js';
import type { CachePolicy, CacheShape } from '../../sdk/experts/cache-policy.js';
import { LayerCyclePolicy } from '../../sdk/experts/layer-cycle-policy.js';
import { LfuPolicy } from '../../sdk/experts/lfu-policy.js';
import { cachePolicy, CACHE_POLICIES, DEFAULT_CACHE_POLICY } from '../../sdk/experts/policies.js';
import { replay } from '../../sdk/experts/replay.js';
import { SYNTHETIC_PRESETS, syntheticTrace } from '../../sdk/experts/synthetic-trace.js';

const SHAPE: CacheShape = { layers: 6, expertsPerLayer: 16, usedPerLayer: 3, slots: 40 };
const NAMES = Object.keys(CACHE_POLICIES);

/** Small numbers in a fixed order; quality does not matter here. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

test('a name gives its policy, and an unknown one lists the names', () => {
  for (const name of NAMES) expect(cachePolicy(name)(SHAPE).name).toBe(name);
  expect(cachePolicy()(SHAPE).name).toBe(DEFAULT_CACHE_POLICY);
  for (const name of ['', 'LRU', 'constructor', '__proto__']) {
    let caught: unknown;
    try {
      cachePolicy(name);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(OptionError);
    expect((caught as OptionError).code).toBe('option/policy');
    for (const known of NAMES) expect((caught as OptionError).hint).toContain(known);
  }
});

describe.each(NAMES)('%s', (name) => {
  test('an empty cache has no victim, and neither has one that is all pinned', () => {
    const policy = cachePolicy(name)(SHAPE);
    expect(policy.victim(0, () => false)).toBe(-1);
    for (const key of [3, 20, 21, 95]) policy.insert(key, 0);
    expect(policy.victim(1, () => true)).toBe(-1);
    expect([3, 20, 21, 95]).toContain(policy.victim(1, () => false));
    expect(policy.victim(1, (key) => key !== 20)).toBe(20);
  });

  test('under random use, removals and inserts without a touch, a victim is always resident and never pinned', () => {
    const policy = cachePolicy(name)(SHAPE);
    const roll = dice(11);
    const resident = new Set<number>();
    let victims = 0;
    let wrong = 0;
    for (let step = 0; step < 4000; step++) {
      const layer = roll(20) === 0 ? roll(SHAPE.layers) : step % SHAPE.layers;
      const wanted = new Set<number>();
      while (wanted.size < SHAPE.usedPerLayer)
        wanted.add(layer * SHAPE.expertsPerLayer + roll(SHAPE.expertsPerLayer));
      const elsewhere = roll(SHAPE.layers * SHAPE.expertsPerLayer);
      const pinned = (key: number): boolean => wanted.has(key) || key === elsewhere;
      for (const key of wanted) {
        if (roll(10) > 0) policy.touch(key, step);
        if (resident.has(key)) continue;
        if (resident.size >= SHAPE.slots) {
          const victim = policy.victim(step, pinned);
          if (!resident.has(victim) || pinned(victim)) wrong++;
          policy.remove(victim);
          resident.delete(victim);
          victims++;
        }
        policy.insert(key, step);
        resident.add(key);
      }
      if (roll(50) === 0) {
        // The budget shrinks for a moment: some leave by choice, some because their data was not good.
        for (let n = roll(20); n > 0 && resident.size > SHAPE.usedPerLayer; n--) {
          const key = roll(2) === 0 ? policy.victim(step, () => false) : [...resident][roll(resident.size)]!;
          if (!resident.delete(key)) wrong++;
          policy.remove(key);
        }
      }
    }
    expect(wrong).toBe(0);
    expect(victims).toBeGreaterThan(1000);
    // Everyone can be drained: nobody is lost and nobody stays behind.
    for (let left = resident.size; left > 0; left--) {
      const victim = policy.victim(4000, () => false);
      expect(resident.delete(victim)).toBe(true);
      policy.remove(victim);
    }
    expect(policy.victim(4000, () => false)).toBe(-1);
  });

  test('removing what is not there changes nothing', () => {
    const policy = cachePolicy(name)(SHAPE);
    policy.remove(5);
    policy.insert(5, 0);
    policy.remove(6);
    expect(policy.victim(1, () => false)).toBe(5);
    policy.remove(5);
    policy.remove(5);
    expect(policy.victim(2, () => false)).toBe(-1);
  });
});

describe('the token-cycle cliff', () => {
  const trace = syntheticTrace({ ...SYNTHETIC_PRESETS['flat']!, layers: 16, seed: 5 }, 300);
  const demand = 16 * 4;
  // From one layer's need and one more, over a fraction of a token's demand, to the demand itself.
  const slotCounts = [5, 8, 16, 32, 48, demand - 1, demand];

  test('with flat routing the hit rate stays near the cached share below one token of slots', () => {
    for (const name of ['layer-cycle', 'layer-lru', 'lfu']) {
      for (const slots of slotCounts) {
        const { hits, requests } = replay(trace, cachePolicy(name), slots, { warmupTokens: 50 });
        // Up to a layer's worth of slots holds the experts in use, which are no use again before the cycle ends.
        const share = Math.max(slots - 4, 1) / (16 * 32);
        expect(hits / requests).toBeGreaterThan(0.6 * share);
      }
    }
  });

  test('global LRU does fall off it, so the trace would show a fall', () => {
    expect(replay(trace, cachePolicy('lru'), demand - 8, { warmupTokens: 50 }).hits).toBe(0);
  });
});

test('layer-cycle learns who is used often: near the share of the likeliest experts', () => {
  // Experts 0–3 of each layer are always used by turns of three; the rest hardly ever.
  const roll = dice(3);
  const policy = cachePolicy('layer-cycle')({ ...SHAPE, slots: 27 });
  const resident = new Set<number>();
  let misses = 0;
  for (let step = 0; step < 600 * SHAPE.layers; step++) {
    const first = (step % SHAPE.layers) * SHAPE.expertsPerLayer;
    const out = roll(4);
    const wanted = [0, 1, 2, 3].filter((expert) => expert !== out).map((expert) => first + expert);
    if (roll(10) === 0) wanted[0] = first + 4 + roll(12);
    for (const key of wanted) policy.touch(key, step);
    for (const key of wanted) {
      if (resident.has(key)) continue;
      if (step >= 100 * SHAPE.layers) misses++;
      if (resident.size === 27) {
        const victim = policy.victim(step, (k) => wanted.includes(k));
        policy.remove(victim);
        resident.delete(victim);
      }
      policy.insert(key, step);
      resident.add(key);
    }
  }
  // 24 favourites fit in 27 slots, so only the rare ones (a tenth of 3,000 visits) should miss, and what they displace.
  expect(misses).toBeGreaterThan(200);
  expect(misses).toBeLessThan(450);
});

describe('cost', () => {
  const shape = { layers: 52, expertsPerLayer: 64, usedPerLayer: 6 };
  const trace = syntheticTrace({ ...shape, skew: 0, persistence: 0, seed: 2 }, 40);
  const slots = 1600;
  const visits = 40 * shape.layers;

  test('layer-cycle looks at a few layers and experts per victim, not at every resident', () => {
    let policy: LayerCyclePolicy | undefined;
    const { evictions } = replay(trace, (s) => (policy = new LayerCyclePolicy(s)), slots);
    expect(evictions).toBeGreaterThan(2000);
    const perVictim = shape.layers + 3 * shape.expertsPerLayer;
    const perVisit = 2 * shape.expertsPerLayer;
    expect(policy!.examined).toBeLessThan(evictions * perVictim + visits * perVisit);
  });

  test('lfu compares O(log n) residents per use', () => {
    let policy: LfuPolicy | undefined;
    const { requests } = replay(trace, (s) => (policy = new LfuPolicy(s)), slots);
    expect(policy!.comparisons).toBeLessThan(requests * 6 * Math.log2(slots));
  });

  test.each(NAMES)('%s asks few residents whether they are pinned', (name) => {
    let asked = 0;
    const counting = (s: CacheShape): CachePolicy => {
      const inner = cachePolicy(name)(s);
      return {
        name,
        touch: (key, step) => inner.touch(key, step),
        insert: (key, step) => inner.insert(key, step),
        remove: (key) => inner.remove(key),
        victim: (step, pinned) => inner.victim(step, (key) => (asked++, pinned(key))),
      };
    };
    const { evictions } = replay(trace, counting, slots);
    expect(asked).toBeGreaterThanOrEqual(evictions);
    expect(asked).toBeLessThan(evictions * (shape.layers + 2 * shape.expertsPerLayer));
  });
});

test('lfu forgets: a former favourite gives way, also across the rescaling of its counts', () => {
  const policy = new LfuPolicy({ layers: 1, expertsPerLayer: 4, usedPerLayer: 1, slots: 2 });
  policy.insert(0, 0);
  policy.insert(1, 0);
  for (let step = 0; step < 200; step++) policy.touch(0, step);
  for (let step = 200; step < 203; step++) policy.touch(1, step);
  expect(policy.victim(203, () => false)).toBe(1);
  for (let step = 203; step < 30_000; step++) policy.touch(1, step);
  expect(policy.victim(30_000, () => false)).toBe(0);
  for (let step = 30_000; step < 30_500; step++) policy.touch(0, step);
  expect(policy.victim(30_500, () => false)).toBe(1);
  // A pause of any length does not break it.
  policy.touch(1, 1e9);
  expect(policy.victim(1e9, () => false)).toBe(0);
});
