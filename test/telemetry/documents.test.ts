import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { asyncApi, jsonSchema, withTable } from '../../device/telemetry/documents.js';
import { type Metric, METRICS } from '../../device/telemetry/metrics.js';

const read = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

test('the committed documents are those the metrics give (node scripts/run.mjs scripts/telemetry-docs.ts)', () => {
  expect(withTable(read('telemetry.md'))).toBe(read('telemetry.md'));
  expect(JSON.parse(read('telemetry.schema.json'))).toEqual(jsonSchema());
  expect(JSON.parse(read('telemetry.asyncapi.json'))).toEqual(asyncApi());
});

test('metrics have one meaning each, and no ratios of counts', () => {
  const metrics: readonly Metric[] = METRICS;
  expect(new Set(metrics.map((m) => m.name)).size).toBe(metrics.length);
  for (const { name, kind, unit, bounds, class: group, description } of metrics) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/);
    expect(name).not.toMatch(/(^|[._])(rate|ratio|percent|average|p9\d)/);
    expect(description).toMatch(/\.$/);
    expect((kind === 'info') === (group === 'birth')).toBe(true);
    expect(unit === '').toBe(kind === 'info');
    expect(bounds !== undefined).toBe(kind === 'histogram');
    if (bounds) expect([...bounds].sort((a, b) => a - b)).toEqual(bounds);
  }
});
