import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  MemoryBudgetError,
  openModel,
  OptionError,
  plan,
  type EngineLimits,
  type Model,
} from '../../sdk/index.js';

/** The public surface on the demo model: the engine worker from dist/, as an app uses it. */
const DEMO = 'models/home-assistant-q4.gguf';
const REQUEST = [{ role: 'user', content: 'stop charging the car at 80% then cut the power in the kitchen' }];
const ANSWER = '[{"do":"ev.limit","percent":80},{"do":"plug.off","room":"kitchen"}]';

let model: Model;
beforeAll(async () => {
  model = await openModel(DEMO, { contextLength: 256, expertSlots: 64, threads: 2 });
});
afterAll(() => model.close());

describe('generation', () => {
  test('chat answers, piece by piece, and tells what happened', async () => {
    const session = model.createSession();
    const generation = session.chat(REQUEST);
    let text = '';
    let pieces = 0;
    for await (const piece of generation) {
      text += piece.text;
      pieces++;
    }
    expect(text).toBe(ANSWER);
    const summary = generation.summary!;
    expect(summary).toMatchObject({ text: ANSWER, finish: 'end', tokens: pieces, reusedTokens: 0 });
    expect(summary.experts.hits + summary.experts.misses).toBe(summary.experts.requests);
    expect(summary.flash.bytes).toBeGreaterThan(0);
    await session.close();
  });

  test('a prompt that repeats what the session holds reuses it and answers the same', async () => {
    const session = model.createSession();
    await session.chat(REQUEST).text();
    const again = session.chat(REQUEST);
    expect(await again.text()).toBe(ANSWER);
    expect(again.summary!.reusedTokens).toBe(again.summary!.promptTokens - 1);
    await session.close();
  });

  test('the same seed gives the same text, whatever the budget; another seed another', async () => {
    const other = await openModel(DEMO, { contextLength: 256, expertSlots: 8, threads: 1 });
    const tell = async (m: Model, seed: number) => {
      const session = m.createSession();
      const text = await session
        .generate('The state of the', { temperature: 1.2, seed, maxTokens: 40 })
        .text();
      await session.close();
      return text;
    };
    const [first, second, third] = [await tell(model, 7), await tell(other, 7), await tell(model, 8)];
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    await other.close();
  });

  test('two sessions at once answer as if alone', async () => {
    const sessions = [model.createSession(), model.createSession()];
    const texts = await Promise.all([
      sessions[0]!.chat(REQUEST).text(),
      sessions[1]!.generate('Call me', { maxTokens: 30 }).text(),
    ]);
    expect(texts[0]).toBe(ANSWER);
    const alone = model.createSession();
    expect(await alone.generate('Call me', { maxTokens: 30 }).text()).toBe(texts[1]);
    for (const s of [...sessions, alone]) await s.close();
  });

  test('maxTokens and a full context end it with a reason', async () => {
    const session = model.createSession({ contextLength: 12 });
    const short = session.generate('Call me', { maxTokens: 3 });
    await short.text();
    expect(short.summary).toMatchObject({ tokens: 3, finish: 'length' });
    const full = session.generate('Fellow-Citizens of the Senate', { maxTokens: 100 });
    await full.text();
    expect(full.summary!.finish).toBe('context');
    await expect(session.generate('word '.repeat(60)).text()).rejects.toMatchObject({
      code: 'session/context-full',
    });
    await session.close();
  });

  test('the app’s event loop turns while the engine computes', async () => {
    const session = model.createSession();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await session.generate('Call me Ishmael', { maxTokens: 200 }).text();
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(20);
    await session.close();
  });
});

describe('cancelling', () => {
  test('an aborted generation throws the reason, and the session goes on', async () => {
    const session = model.createSession();
    const controller = new AbortController();
    const reason = new Error('enough');
    let seen = 0;
    const generation = session.generate('Call me', { signal: controller.signal, maxTokens: 200 });
    await expect(async () => {
      for await (const _ of generation) if (++seen === 3) controller.abort(reason);
    }).rejects.toBe(reason);
    expect(seen).toBeLessThan(20);
    expect(generation.summary).toBeNull();
    expect(await session.chat(REQUEST).text()).toBe(ANSWER);
    await session.close();
  });

  test('an aborted prompt stops between layers', async () => {
    const session = model.createSession();
    const controller = new AbortController();
    const generation = session.generate('a '.repeat(120), { signal: controller.signal });
    setTimeout(() => controller.abort(), 1);
    await expect(generation.text()).rejects.toMatchObject({ name: 'AbortError' });
    expect(await session.chat(REQUEST).text()).toBe(ANSWER);
    await session.close();
  });

  test('opening and planning', async () => {
    const controller = new AbortController();
    const opening = openModel(DEMO, { signal: controller.signal });
    const reason = new Error('no longer wanted');
    controller.abort(reason);
    await expect(opening).rejects.toBe(reason);
    await expect(openModel(DEMO, { signal: controller.signal })).rejects.toBe(reason);
    await expect(plan(DEMO, { signal: controller.signal })).rejects.toBe(reason);
  });

  test('leaving the loop early frees the session', async () => {
    const session = model.createSession();
    for await (const _ of session.generate('Call me', { maxTokens: 200 })) break;
    expect(await session.chat(REQUEST).text()).toBe(ANSWER);
    await session.close();
  });

  test('a session does one thing at a time', async () => {
    const session = model.createSession();
    const first = session.generate('Call me', { maxTokens: 100 })[Symbol.asyncIterator]();
    await first.next();
    await expect(session.generate('x').text()).rejects.toMatchObject({ code: 'session/busy' });
    await first.return!();
    await session.close();
    await expect(session.generate('x').text()).rejects.toMatchObject({ code: 'session/closed' });
  });
});

describe('limits', () => {
  test('threads and lanes change while generating, without a trace in the text', async () => {
    const m = await openModel(DEMO, { contextLength: 256, expertSlots: 8, threads: 2, lanes: 4 });
    const session = m.createSession();
    const options = { maxTokens: 24, temperature: 1, seed: 5 };
    const steady = await session.generate('The state of the', options).text();
    const other = m.createSession();
    // the reference kernels have one thread whatever they are told
    const inForce = ({ threads, lanes }: EngineLimits) =>
      m.description.isa === 'reference' ? { threads: 1, lanes } : { threads, lanes };
    let text = '';
    let n = 0;
    for await (const piece of other.generate('The state of the', options)) {
      text += piece.text;
      const limits = { threads: 1 + (n % 3), lanes: 1 + ((n * 5) % 8) };
      expect(await m.setLimits(limits)).toEqual(inForce(limits));
      n++;
    }
    expect(n).toBe(24);
    expect(text).toBe(steady);
    expect(await m.setLimits({ lanes: 2 })).toEqual(inForce({ threads: 3, lanes: 2 }));
    const { limits, decode, tokens } = await m.statistics();
    expect(limits).toEqual(inForce({ threads: 3, lanes: 2 }));
    expect(decode.tokens).toBe(2 * 23);
    expect(decode.tokens).toBeLessThan(tokens);
    expect(decode.ns).toBeGreaterThan(0);
    await m.close();
  });

  test('a bad limit is named and changes nothing', async () => {
    const { limits } = await model.statistics();
    await expect(model.setLimits({ threads: 0 })).rejects.toMatchObject({ code: 'option/threads' });
    await expect(model.setLimits({ threads: 1, lanes: 65 })).rejects.toMatchObject({ code: 'option/lanes' });
    expect((await model.statistics()).limits).toEqual(limits);
  });
});

describe('memory', () => {
  test('a budget changes while generating, without a trace in the text', async () => {
    const m = await openModel(DEMO, { contextLength: 256, memory: '4GiB' });
    const session = m.createSession();
    const before = await m.setMemory('4GiB');
    const generation = session.chat(REQUEST);
    let text = '';
    let n = 0;
    for await (const piece of generation) {
      text += piece.text;
      if (n++ === 2) await m.setMemory('3GiB');
    }
    expect(text).toBe(ANSWER);
    expect(before).toBe(256);
    const tooSmall = await m.setMemory('50MiB').then(
      () => null,
      (e: unknown) => e,
    );
    expect(tooSmall).toBeInstanceOf(MemoryBudgetError);
    const { smallestBytes } = tooSmall as MemoryBudgetError;
    expect((await m.statistics()).memory.budgetBytes).toBe(3 * 2 ** 30);
    expect(smallestBytes).toBeGreaterThan(50 * 2 ** 20);
    await m.close();
  });

  test('plan says what fits, without loading', async () => {
    const small = await plan(DEMO, { memory: '40MiB', contextLength: 256 });
    expect(small).toMatchObject({ fits: false, limit: 'memory', tokensPerSecond: [0, 0] });
    const enough = await plan(DEMO, { memory: small.smallestBytes, contextLength: 256 });
    expect(enough.fits).toBe(true);
    expect(enough.memory.slots).toBeGreaterThanOrEqual(4);
    expect(enough.bytesPerToken).toBeGreaterThan(0);
    const all = await plan(DEMO, { memory: '4GiB', contextLength: 256 });
    expect(all).toMatchObject({ fits: true, bytesPerToken: 0, limit: 'compute' });
    expect(all.tokensPerSecond[0]).toBeGreaterThan(0);
  });
});

describe('mistakes are named', () => {
  test.each([
    [{ threads: 0 }, 'option/threads'],
    [{ memory: 'lots' }, 'option/memory'],
    [{ policy: 'psychic' }, 'option/policy'],
    [{ contextLength: 100_000 }, 'option/contextLength'],
  ])('%j', async (options, code) => {
    await expect(openModel(DEMO, options)).rejects.toMatchObject({ code });
  });

  test('prompts and sampling', async () => {
    const session = model.createSession();
    expect(() => session.generate('x', { maxTokens: 0 })).toThrow(OptionError);
    for (const bad of [
      session.generate(''),
      session.generate([9999]),
      session.generate('x', { temperature: -1 }),
    ])
      await expect(bad.text()).rejects.toMatchObject({ code: expect.stringMatching(/^option\//) });
    await session.close();
  });

  test('a closed model', async () => {
    const m = await openModel(DEMO, { contextLength: 64 });
    await m.close();
    await m.close();
    await expect(m.statistics()).rejects.toMatchObject({ code: 'model/closed' });
  });
});

test('logits and score of given tokens', async () => {
  const tokens = await model.tokenize('Fellow-Citizens of the Senate');
  const rows: Float32Array[] = [];
  for await (const row of model.logits(tokens)) rows.push(row);
  expect(rows.length).toBe(tokens.length);
  let sum = 0;
  rows.slice(0, -1).forEach((row, i) => {
    const top = Math.max(...row);
    sum -= row[tokens[i + 1]!]! - top - Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
  });
  const score = await model.score(tokens);
  expect(score.tokens).toBe(tokens.length - 1);
  expect(score.negativeLogLikelihood).toBeCloseTo(sum, 3);
});

test('a trace of routing replays as the cache saw it', async () => {
  await model.startTrace();
  const session = model.createSession();
  await session.generate('Call me', { maxTokens: 12 }).text();
  const trace = await model.stopTrace();
  expect(trace.layers).toBe(8);
  expect(trace.tokens).toBeGreaterThanOrEqual(11);
  await session.close();
  await expect(model.stopTrace()).rejects.toMatchObject({ code: 'trace/none' });
});
