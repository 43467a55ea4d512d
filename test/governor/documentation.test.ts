import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { LOSSLESS_LEVERS, LOSSY_LEVERS } from '../../device/governor/lever.js';
import { MEASURES, STATES } from '../../device/governor/measures.js';
import { parsePolicy } from '../../device/governor/policy.js';

const text = readFileSync('docs/governor.md', 'utf8');

test('the example is a policy', () => {
  const written = /## A policy\n\n```json\n([\s\S]*?)```/.exec(text)![1]!;
  expect(parsePolicy(JSON.parse(written)).rules).toHaveLength(6);
});

test.each([...Object.keys(MEASURES), ...Object.keys(STATES), ...LOSSLESS_LEVERS, ...LOSSY_LEVERS])(
  '%s is explained',
  (name) => {
    expect(text).toContain(`\`${name}\``);
  },
);
