import { describe, expect, test } from '@jest/globals';
import { observeEngine, RequestSource } from '../../device/telemetry/engine-source.js';
import { Registry } from '../../device/telemetry/registry.js';
import { SensorSource } from '../../device/telemetry/sensor-source.js';
import type { EngineStatistics, GenerationSummary } from '../../sdk/index.js';

const decode = (bytes: Uint8Array) => JSON.parse(Buffer.from(bytes).toString()) as [string, unknown[]];
const experts = {
  requests: 10,
  hits: 6,
  misses: 4,
  late: 1,
  evictions: 3,
  bytes: 4096,
  stallNs: 5e6,
  rowsTotal: 9,
  rowsActive: 5,
};
const statistics = (tokens: number) =>
  ({
    experts,
    expertsByLayer: new Map([[0, experts]]),
    tokens,
    slots: { count: 8, bytes: 8192, resident: 7 },
    flash: { reads: 4, bytes: 5000, failed: 0, corrupt: 1 },
    memory: { budgetBytes: 1e9, residentBytes: 8e8, peakBytes: 9e8 },
  }) as unknown as EngineStatistics;
const valueOf = (registry: Registry, name: string, attributes: object = {}) => {
  const at = registry.schema.series.findIndex(
    (s) => s.name === name && JSON.stringify(s.attributes) === JSON.stringify(attributes),
  );
  return registry.values()[at];
};

describe('registry', () => {
  test('a bound belongs to the bucket below it; what is no number is not observed', () => {
    const registry = new Registry();
    const histogram = registry.histogram('gen_ai.server.time_to_first_token');
    for (const value of [0.05, 0.050001, 120, 121, NaN, Infinity]) histogram.observe(value);
    const { counts, sum } = histogram.value;
    expect(counts).toEqual([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect(sum).toBeCloseTo(241.100001, 9);
  });

  test('counters never go down, also when the model is opened anew', () => {
    const registry = new Registry();
    for (const tokens of [100, 150, 10, 20]) observeEngine(registry, statistics(tokens));
    expect(valueOf(registry, 'moe.tokens.computed')).toBe(170);
    registry.counter('moe.tokens.computed').add(-5);
    expect(valueOf(registry, 'moe.tokens.computed')).toBe(170);
  });

  test('expert requests by result add up to the requests', () => {
    const registry = new Registry();
    observeEngine(registry, statistics(1));
    const results = ['hit', 'miss', 'late'].map((result) =>
      valueOf(registry, 'moe.expert.requests', { result }),
    );
    expect(results).toEqual([6, 3, 1]);
    expect(valueOf(registry, 'moe.flash.stall')).toBe(0.005);
    expect(valueOf(registry, 'moe.layer.expert.requests', { layer: '0', result: 'late' })).toBe(1);
  });

  test('requests that end, end in histograms', () => {
    const registry = new Registry();
    const requests = new RequestSource(registry);
    const summary = {
      finish: 'length',
      promptTokens: 12,
      tokens: 5,
      reusedTokens: 2,
      tokensPerSecond: 8,
      firstTokenMs: 700,
    };
    requests.ended(summary as GenerationSummary, 1.2);
    requests.ended(null, 3, 'cancelled');
    expect(valueOf(registry, 'gen_ai.server.time_to_first_token')).toMatchObject({ sum: 0.7 });
    expect(valueOf(registry, 'gen_ai.server.time_per_output_token')).toMatchObject({ sum: 0.125 });
    expect(valueOf(registry, 'moe.requests', { result: 'cancelled' })).toBe(1);
    expect(valueOf(registry, 'moe.tokens', { 'gen_ai.token.type': 'input' })).toBe(12);
  });

  test('a sensor that went away says null; sensors of equal names stay apart; throttled time is counted', () => {
    const registry = new Registry();
    const sensors = new SensorSource(registry);
    const zone = (celsius: number) => ({ label: 'cpu', celsius, limitCelsius: null });
    const throttling = { active: true, clockPercent: null, cooling: [], count: null, underVoltage: null };
    sensors.observe(
      {
        temperature: { celsius: 50, label: 'cpu', headroomCelsius: null, zones: [zone(50.26), zone(40)] },
        throttling,
      },
      0,
    );
    expect(valueOf(registry, 'hw.temperature', { 'hw.id': 'cpu' })).toBe(50.3);
    expect(valueOf(registry, 'hw.temperature', { 'hw.id': 'cpu 2' })).toBe(40);
    sensors.observe({ throttling: { ...throttling, active: false } }, 1500);
    expect(valueOf(registry, 'hw.temperature', { 'hw.id': 'cpu' })).toBeNull();
    expect(valueOf(registry, 'edge.throttle.time')).toBe(1.5);
  });

  test('attributes from outside make no more than 257 series', () => {
    const registry = new Registry();
    for (let i = 0; i < 1000; i++) registry.counter('edge.errors', { 'error.type': `e${i}` }).add();
    expect(registry.schema.series).toHaveLength(257);
    expect(valueOf(registry, 'edge.errors', { 'error.type': 'other' })).toBe(744);
  });

  test('a sample has the values of its class in the order of the birth; one that would be too long leaves out lists', () => {
    const registry = new Registry();
    observeEngine(registry, statistics(3));
    const [id, values] = decode(registry.sample('sample'));
    const series = registry.schema.series.filter((s) => s.class === 'sample');
    expect(id).toBe(registry.schema.id);
    expect(values).toHaveLength(series.length);
    expect(values[series.findIndex((s) => s.name === 'moe.cache.resident')]).toBe(7);
    for (let layer = 0; layer < 100; layer++)
      registry.list('moe.router.load', { layer: String(layer) }).value = new Array<number>(500).fill(123_456);
    const debug = registry.sample('debug');
    expect(debug.length).toBeLessThan(95_000);
    expect(decode(debug)[1].at(-1)).toBeNull();
  });
});
