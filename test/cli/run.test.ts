import { readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { temporaryFolder } from './folder.js';
import { COMMANDS, failure, finish, json, MODEL, PLENTY, pocketmoe, start } from './pocketmoe.js';

const folder = temporaryFolder();
const [first] = readFileSync(COMMANDS, 'utf8').split('\n');
const { request, answer } = JSON.parse(first!) as { request: string; answer: string };

const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;

describe('run', () => {
  test('streams the answer to stdout and what happened to stderr', async () => {
    const { status, stdout, stderr } = await pocketmoe('run', MODEL, request, '--memory', PLENTY);
    expect(status).toBe(0);
    expect(stdout).toBe(`${answer}\n`);
    expect(stderr).toMatch(/tokens\/s/);
    expect(stderr).toMatch(/^flash .*per token/m);
    expect(stderr).toMatch(/^experts .*hits.*late/m);
    expect(stderr).toMatch(/^memory /m);
  });

  test('--json has the stable names, and fewer slots than experts give the same text', async () => {
    const { status, value } = await json('run', MODEL, request, '--memory', PLENTY, '--slots', '80');
    expect(status).toBe(0);
    expect(value).toMatchObject({
      text: answer,
      tokens: expect.any(Number),
      tokensPerSecond: expect.any(Number),
      firstTokenMs: expect.any(Number),
      flash: { bytes: expect.any(Number), bytesPerToken: expect.any(Number), stallMs: expect.any(Number) },
      memory: { budgetBytes: 400 * 2 ** 20, peakBytes: expect.any(Number) },
    });
    const experts = value['experts'] as Record<string, number>;
    expect(Object.keys(experts).sort()).toEqual(['evictions', 'hits', 'late', 'misses', 'requests']);
    expect(Object.values(experts).every(isCount)).toBe(true);
    expect(experts['hits']! + experts['misses']!).toBe(experts['requests']);
    expect(experts['evictions']).toBeGreaterThan(0);
    const { bytes } = value['flash'] as { bytes: number };
    expect(bytes).toBeGreaterThanOrEqual(experts['misses']! * 55_296);
    expect((value['model'] as { slots: number }).slots).toBe(80);
  });

  test('--max-tokens, --raw, --seed: the same seed gives the same text', async () => {
    const args = [
      'run',
      MODEL,
      '--raw',
      'The whale',
      '--max-tokens',
      '12',
      '--temperature',
      '1',
      '--memory',
      PLENTY,
    ];
    const texts = [];
    for (const seed of ['7', '7', '8']) texts.push((await json(...args, '--seed', seed)).value);
    expect(texts[0]).toMatchObject({ tokens: 12, finish: 'length', promptTokens: expect.any(Number) });
    expect(texts[1]!['text']).toBe(texts[0]!['text']);
    expect(texts[2]!['text']).not.toBe(texts[0]!['text']);
  });

  test('the prompt may come from stdin', async () => {
    const { status, stdout } = await finish(start(['run', MODEL, '--memory', PLENTY], `${request}\n`));
    expect({ status, stdout }).toEqual({ status: 0, stdout: `${answer}\n` });
  });

  test('a prompt longer than the context is refused', async () => {
    const error = await failure('run', MODEL, 'light '.repeat(400), '--memory', PLENTY);
    expect(error.code).toBe('session/context-full');
  });
});

describe('memory', () => {
  test('too little is refused with the least that works, and that works', async () => {
    const error = await failure('run', MODEL, request, '--memory', '20MiB');
    expect(error.code).toBe('memory/too-small');
    const least = /(\d+MiB)/.exec(error.hint)?.[1];
    expect(error.smallestBytes).toBeGreaterThan(20 * 2 ** 20);
    const { status, value } = await json('run', MODEL, request, '--memory', least!);
    expect({ status, text: value['text'] }).toEqual({ status: 0, text: answer });
  });

  test('plan says so without an error, and agrees', async () => {
    const error = await failure('run', MODEL, request, '--memory', '20MiB');
    const { status, value } = await json('plan', MODEL, '--memory', '20MiB');
    expect(status).toBe(0);
    expect(value).toMatchObject({ fits: false, limit: 'memory', smallestBytes: error.smallestBytes });
  });
});

describe('stopping', () => {
  const endless = [
    'run',
    MODEL,
    '--raw',
    'Once',
    '--max-tokens',
    '100000',
    '--temperature',
    '2',
    '--memory',
    PLENTY,
  ];

  test('Ctrl-C ends a generation with status 130', async () => {
    const child = start(endless);
    const finished = finish(child);
    await once(child.stdout!, 'data');
    child.kill('SIGINT');
    expect(await finished).toMatchObject({
      status: 130,
      signal: null,
      stderr: expect.stringMatching(/Stopped\.\n$/),
    });
  });

  test('with --json it is an error object', async () => {
    const child = start(['run', MODEL, '--json'], 'open');
    const finished = finish(child);
    // More than a pipe holds: once it is written, the command is up and waits for the end of its prompt.
    await new Promise((resolve) => child.stdin!.write('light '.repeat(50_000), resolve));
    child.kill('SIGINT');
    const { status, stdout, stderr } = await finished;
    expect({ status, stderr }).toEqual({ status: 130, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'aborted', message: expect.any(String), hint: expect.any(String) },
    });
  });

  test('a reader that goes away is no crash', async () => {
    const child = start(endless);
    const finished = finish(child);
    await once(child.stdout!, 'data');
    child.stdout!.destroy();
    expect(await finished).toMatchObject({ status: 0, signal: null, stderr: '' });
  });
});

describe('trace', () => {
  test('is recorded and replayed against every policy', async () => {
    const trace = join(folder, 'trace.pmtr');
    const { value: ran } = await json('run', MODEL, request, '--memory', PLENTY, '--trace', trace);
    const { status, value } = await json('replay', trace, '--slots', '64');
    expect(status).toBe(0);
    expect(value).toMatchObject({
      tokens: (ran['tokens'] as number) - 1,
      layers: 8,
      expertsPerLayer: 32,
      usedPerLayer: 4,
    });
    const results = value['results'] as { policy: string; slots: number; requests: number; hits: number }[];
    const optimum = results.find(({ policy }) => policy === 'optimum')!;
    expect(results.length).toBeGreaterThanOrEqual(4);
    for (const result of results) {
      expect(result).toMatchObject({ slots: 64, requests: (value['tokens'] as number) * 8 * 4 });
      expect(result.hits).toBeLessThanOrEqual(optimum.hits);
    }
    expect((await pocketmoe('replay', trace)).stdout).toMatch(/^optimum( +\d+\.\d %)+$/m);
  });

  test('one that was cut off is refused', async () => {
    const path = join(folder, 'cut.pmtr');
    await json('run', MODEL, request, '--memory', PLENTY, '--trace', path, '--max-tokens', '4');
    writeFileSync(path, readFileSync(path).subarray(0, 100));
    expect((await failure('replay', path)).code).toBe('trace/length');
  });
});
