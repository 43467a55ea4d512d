import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WeightType } from '../../kernels/weight-type.js';
import type { GenerationSummary } from '../../sdk/index.js';
import { generateModel } from '../models/generate-model.js';
import { MemoryCgroup } from './memory-cgroup.js';

/** A model of twice the budget, run by the command in a process of its own. */
const BUDGET_MIB = 136;
const probe = MemoryCgroup.create(1 << 30);
probe?.remove();

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pocketmoe-budget-'));
  path = join(folder, 'large.gguf');
  generateModel(path, {
    family: 'smallthinker',
    layers: 16,
    width: 512,
    heads: 8,
    kvHeads: 2,
    hidden: 512,
    experts: 40,
    used: 4,
    weightType: WeightType.Q4_0,
    vocabulary: { copyFrom: 'models/home-assistant-q4.gguf' },
  });
  expect(statSync(path).size).toBeGreaterThan(2 * BUDGET_MIB * 2 ** 20);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const command = (flash: string) =>
  [
    'dist/cli.js',
    'run',
    path,
    'Call me Ishmael. '.repeat(12),
    '--raw',
    '--context',
    '256',
    '--max-tokens',
    '24',
  ].concat(['--memory', `${BUDGET_MIB}MiB`, '--flash', flash, '--json']);

describe('a budget of half the model', () => {
  test.each(['direct', 'buffered'])('holds for the process: %s', (flash) => {
    const summary = JSON.parse(
      execFileSync(process.execPath, command(flash), { encoding: 'utf8' }),
    ) as GenerationSummary;
    expect(summary.tokens).toBeGreaterThan(0);
    expect(summary.experts.evictions).toBeGreaterThan(0);
    expect(summary.memory.peakBytes).toBeLessThanOrEqual(summary.memory.budgetBytes);
  });

  // Where cgroups cannot be made (no root), the bound on the process above is all that can be checked.
  if (probe)
    test.each(['direct', 'buffered'])('holds under a cgroup of the same size: %s', (flash) => {
      const group = MemoryCgroup.create(BUDGET_MIB * 2 ** 20)!;
      try {
        const summary = JSON.parse(group.run(process.execPath, command(flash))) as GenerationSummary;
        expect(summary.tokens).toBeGreaterThan(0);
        expect(group.kills()).toBe(0);
        expect(group.peakBytes()).toBeLessThanOrEqual(BUDGET_MIB * 2 ** 20);
      } finally {
        group.remove();
      }
    });
});
