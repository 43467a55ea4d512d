import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { temporaryFolder } from './folder.js';
import { COMMANDS, failure, json, MODEL, PLENTY, pocketmoe, TEXT } from './pocketmoe.js';

const folder = temporaryFolder();
const VOCABULARY = 4096;

test('perplexity of a text, nulls for what was not asked', async () => {
  const { status, value } = await json('eval', MODEL, '--text', TEXT, '--windows', '2', '--memory', PLENTY);
  expect(status).toBe(0);
  expect(value).toMatchObject({ exact: null, count: null, tokens: 2 * 255, windows: 2 });
  const perplexity = value['perplexity'] as number;
  expect(perplexity).toBeGreaterThan(20);
  expect(perplexity).toBeLessThan(120); // 48.5 over all windows; a wrong model is near 4096
});

test('windows are shorter when asked, and are scored without what comes before them', async () => {
  const { value } = await json(
    'eval',
    MODEL,
    '--text',
    TEXT,
    '--windows',
    '2',
    '--window-tokens',
    '32',
    '--memory',
    PLENTY,
  );
  expect(value['tokens']).toBe(2 * 31);
});

test('exact answers: counts, and the ones that differ with --verbose', async () => {
  const path = join(folder, 'requests.jsonl');
  const lines = readFileSync(COMMANDS, 'utf8').split('\n').slice(0, 2);
  const wrong = { request: (JSON.parse(lines[0]!) as { request: string }).request, answer: 'no' };
  writeFileSync(path, [...lines, '', JSON.stringify(wrong), ''].join('\n'));
  const { status, value } = await json('eval', MODEL, '--requests', path, '--verbose', '--memory', PLENTY);
  expect(status).toBe(0);
  expect(value).toMatchObject({ exact: 2, count: 3, perplexity: null, tokens: null });
  expect(value['differing']).toEqual([
    {
      line: 4,
      request: wrong.request,
      expected: 'no',
      answer: (JSON.parse(lines[0]!) as { answer: string }).answer,
    },
  ]);
  const { stdout } = await pocketmoe('eval', MODEL, '--requests', path, '--memory', PLENTY);
  expect(stdout).toBe('2 of 3 answers exact (66.7 %)\n');
});

test('logits: a row of float32 per token, and a row does not depend on later tokens', async () => {
  const path = join(folder, 'logits.f32');
  const { value } = await json('eval', MODEL, '--tokens', '1,2,3', '--logits', path, '--memory', PLENTY);
  expect(value).toMatchObject({
    tokens: 3,
    perplexity: null,
    exact: null,
    logits: { path, rows: 3, columns: VOCABULARY },
  });
  const rows = readFileSync(path);
  expect(rows.length).toBe(3 * VOCABULARY * 4);
  expect(rows.readFloatLE(0)).not.toBe(0);
  const shorter = join(folder, 'shorter.f32');
  await json('eval', MODEL, '--tokens', '1', '--logits', shorter, '--memory', PLENTY);
  const alone = readFileSync(shorter);
  for (let i = 0; i < VOCABULARY * 4; i += 4)
    expect(Math.abs(alone.readFloatLE(i) - rows.readFloatLE(i))).toBeLessThan(1e-3);
  expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([]);
});

test('token ids outside of the vocabulary are refused, and no file is left', async () => {
  const path = join(folder, 'none.f32');
  const error = await failure(
    'eval',
    MODEL,
    '--tokens',
    `1,${VOCABULARY}`,
    '--logits',
    path,
    '--memory',
    PLENTY,
  );
  expect(error).toMatchObject({
    code: 'option/prompt',
    message: expect.stringContaining(String(VOCABULARY)),
  });
  expect(readdirSync(folder).some((name) => name.startsWith('none'))).toBe(false);
});
