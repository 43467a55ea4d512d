import { describe, expect, test } from '@jest/globals';
import { belady } from '../../sdk/experts/belady.js';
import { cachePolicy, CACHE_POLICIES } from '../../sdk/experts/policies.js';
import { replay } from '../../sdk/experts/replay.js';
import { SYNTHETIC_PRESETS, syntheticTrace } from '../../sdk/experts/synthetic-trace.js';
import { NO_EXPERT, RoutingTrace } from '../../sdk/experts/trace.js';

/** Fewest misses by trying every set of victims at every step. */
function bruteForce(trace: RoutingTrace, slots: number): number {
  let states = new Map<string, number>([['', 0]]);
  for (let token = 0; token < trace.tokens; token++) {
    for (let layer = 0; layer < trace.layers; layer++) {
      const wanted = Array.from(trace.step(token, layer), (expert) => layer * trace.expertsPerLayer + expert);
      const next = new Map<string, number>();
      for (const [state, misses] of states) {
        const resident = state === '' ? [] : state.split(',').map(Number);
        const missing = wanted.filter((key) => !resident.includes(key)).length;
        const others = resident.filter((key) => !wanted.includes(key));
        for (let mask = 0; mask < 1 << others.length; mask++) {
          const kept = [...others.filter((_, i) => mask & (1 << i)), ...wanted];
          if (kept.length > slots) continue;
          const name = kept.sort((a, b) => a - b).join(',');
          next.set(name, Math.min(next.get(name) ?? Infinity, misses + missing));
        }
      }
      states = next;
    }
  }
  return Math.min(...states.values());
}

describe('against brute force', () => {
  const shapes = [
    { layers: 1, expertsPerLayer: 6, usedPerLayer: 2 },
    { layers: 2, expertsPerLayer: 4, usedPerLayer: 2 },
    { layers: 3, expertsPerLayer: 3, usedPerLayer: 1 },
    { layers: 2, expertsPerLayer: 4, usedPerLayer: 3 },
  ];
  test.each(shapes)('$layers layers, $usedPerLayer of $expertsPerLayer', (shape) => {
    for (let seed = 1; seed <= 8; seed++) {
      const options = { ...shape, skew: (seed % 3) * 0.7, persistence: (seed % 2) * 0.4, seed };
      const trace = syntheticTrace(options, 8);
      for (let slots = shape.usedPerLayer; slots <= 6; slots++) {
        expect(belady(trace, slots).misses).toBe(bruteForce(trace, slots));
      }
    }
  });
});

describe.each(['demo', 'flat', 'skew1', 'topics', '20b'])('%s', (preset) => {
  const options = { ...SYNTHETIC_PRESETS[preset]!, seed: 21 };
  const trace = syntheticTrace({ ...options, layers: Math.min(options.layers, 12) }, 90);
  const all = trace.layers * trace.expertsPerLayer;
  const slotCounts = [
    trace.usedPerLayer,
    trace.usedPerLayer + 1,
    ...[0.1, 0.3, 0.5, 0.8, 1].map((s) => Math.round(s * all)),
  ];

  test('no policy hits more than the optimum, at any number of slots', () => {
    for (const slots of slotCounts) {
      const best = belady(trace, slots);
      expect(best.hits + best.misses).toBe(best.requests);
      expect(best.requests).toBe(trace.tokens * trace.layers * trace.usedPerLayer);
      for (const name of Object.keys(CACHE_POLICIES)) {
        const result = replay(trace, cachePolicy(name), slots);
        expect(result.requests).toBe(best.requests);
        expect(result.hits).toBeLessThanOrEqual(best.hits);
      }
    }
  });

  test('with a slot for everything, each expert that occurs is read once', () => {
    const distinct = new Set<number>();
    for (let token = 0; token < trace.tokens; token++) {
      for (let layer = 0; layer < trace.layers; layer++) {
        for (const expert of trace.step(token, layer)) distinct.add(layer * trace.expertsPerLayer + expert);
      }
    }
    for (const slots of [all, all + 7]) {
      expect(belady(trace, slots)).toMatchObject({ misses: distinct.size, evictions: 0 });
      for (const name of Object.keys(CACHE_POLICIES)) {
        expect(replay(trace, cachePolicy(name), slots)).toMatchObject({
          misses: distinct.size,
          evictions: 0,
        });
      }
    }
  });
});

test('more slots never hurt the optimum, and visits with fewer experts count what they ask for', () => {
  const full = syntheticTrace({ ...SYNTHETIC_PRESETS['demo']!, seed: 4 }, 100);
  const ids = full.ids.slice();
  for (let i = 3; i < ids.length; i += 4) if (i % 3 === 0) ids[i] = NO_EXPERT;
  const trace = new RoutingTrace(full, ids);
  let before = Infinity;
  for (let slots = 4; slots <= 256; slots += 12) {
    const { misses, requests } = belady(trace, slots);
    expect(requests).toBe(ids.filter((id) => id !== NO_EXPERT).length);
    expect(misses).toBeLessThanOrEqual(before);
    before = misses;
  }
});
