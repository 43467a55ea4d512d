import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Governor, type GovernorOptions } from '../../device/governor/governor.js';
import type { GovernorEvent } from '../../device/governor/governor-event.js';
import type { GovernorTarget } from '../../device/governor/governor-target.js';
import type { LeverFailure } from '../../device/governor/lever-setter.js';
import { openSensors } from '../../firmware-bridge/sensors/open-sensors.js';
import { MemoryBudgetError, openModel } from '../../sdk/index.js';
import { BoardFolder } from '../sensors/board-folder.js';

const ZONE = 'sys/class/thermal/thermal_zone0';
const POLICY = {
  version: 1,
  rules: [
    {
      name: 'hot',
      when: { reading: 'temperature', above: 75, for: 2 },
      until: { below: 70, for: 2 },
      set: { threads: 1, lanes: 2, memory: '100MiB' },
    },
  ],
};

/** A model that remembers what it was told. */
class Told implements GovernorTarget {
  readonly calls: unknown[] = [];
  decode = { tokens: 0, ns: 0 };
  smallest = 0;
  broken = false;
  answer: Promise<void> = Promise.resolve();

  async statistics() {
    await this.answer;
    return {
      limits: { threads: 4, lanes: 8 },
      memory: { budgetBytes: 2 ** 30, given: true },
      decode: { ...this.decode },
    };
  }
  async setLimits(limits: object) {
    await this.answer;
    if (this.broken) throw new Error('no thread could be started');
    this.calls.push(limits);
  }
  async setMemory(bytes: number | null) {
    await this.answer;
    if (bytes !== null && bytes < this.smallest)
      throw new MemoryBudgetError('too little', 'Give more.', this.smallest);
    this.calls.push({ memory: bytes });
  }
}

let board: BoardFolder;
let events: GovernorEvent[];
let failures: LeverFailure[];
let governor: Governor;
let elapsed: number;
let tick: () => void;
/** Seconds pass, with what they cause. */
async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    elapsed += 1000;
    tick();
    await governor.idle();
  }
}
async function start(target: GovernorTarget, more: Partial<GovernorOptions> = {}): Promise<Governor> {
  const clock = {
    elapsed: () => elapsed,
    time: () => 1_700_000_000_000 + elapsed,
    every: (_: number, call: () => void) => {
      tick = call;
      return () => (tick = () => {});
    },
  };
  governor = await Governor.start({
    policy: POLICY,
    target,
    clock,
    sensors: openSensors({ root: board.root, now: clock.elapsed }),
    onEvent: (event) => events.push(event),
    onFailure: (failure) => failures.push(failure),
    ...more,
  });
  return governor;
}
const heat = (celsius: number) => board.write({ [`${ZONE}/temp`]: celsius * 1000 });

beforeEach(() => {
  board = new BoardFolder().write({ [`${ZONE}/type`]: 'cpu', [`${ZONE}/temp`]: 50_000 });
  events = [];
  failures = [];
  elapsed = 0;
});
afterEach(async () => {
  await governor.stop();
  board.remove();
});

describe('the runner', () => {
  test('moves levers once per decision, and back', async () => {
    const target = new Told();
    await start(target);
    await pass(10);
    expect(target.calls).toEqual([]);
    heat(80);
    await pass(10);
    const down = [{ threads: 1 }, { lanes: 2 }, { memory: 100 * 2 ** 20 }];
    expect(target.calls).toEqual(down);
    expect(governor.status()).toMatchObject({ rules: ['hot'], measures: { temperature: 80 } });
    heat(60);
    await pass(10);
    expect(target.calls).toEqual([...down, { threads: 4 }, { lanes: 8 }, { memory: 2 ** 30 }]);
    expect(events.map((e) => e.reason.kind)).toEqual([
      ...Array(3).fill('limit'),
      ...Array(3).fill('release'),
    ]);
  });

  test('a budget that is too small becomes the smallest that works, and is told', async () => {
    const target = new Told();
    target.smallest = 150 * 2 ** 20;
    await start(target);
    heat(80);
    await pass(5);
    expect(target.calls).toContainEqual({ memory: 151 * 2 ** 20 });
    expect(failures).toEqual([
      {
        lever: 'memory',
        wanted: 100 * 2 ** 20,
        got: 151 * 2 ** 20,
        error: expect.objectContaining({ code: 'memory/too-small' }),
      },
    ]);
  });

  test('what fails is told once and tried again after half a minute', async () => {
    const target = new Told();
    target.broken = true;
    await start(target);
    heat(80);
    await pass(70);
    expect(failures.map((f) => [f.lever, f.got])).toEqual([
      ['threads', null],
      ['lanes', null],
    ]);
    target.broken = false;
    await pass(31);
    expect(target.calls).toEqual(expect.arrayContaining([{ threads: 1 }, { lanes: 2 }]));
    expect(failures).toHaveLength(2);
  });

  test('a busy model keeps nobody waiting, and gets only the last of several values', async () => {
    const target = new Told();
    await start(target);
    let ready = () => {};
    target.answer = new Promise((resolve) => (ready = resolve));
    for (const celsius of [80, 60, 80]) {
      heat(celsius);
      for (let i = 0; i < 5; i++) {
        elapsed += 1000;
        tick();
      }
    }
    expect(events).toHaveLength(9);
    ready();
    await governor.idle();
    // the first was under way already
    expect(target.calls).toEqual([{ threads: 1 }, { lanes: 2 }, { memory: 100 * 2 ** 20 }, { threads: 1 }]);
  });

  test('latency comes from the model’s counters; silence while no token is generated', async () => {
    const target = new Told();
    await start(target, {
      policy: {
        version: 1,
        base: { threads: 2 },
        rules: [
          {
            name: 'slow',
            when: { reading: 'tokenTime', above: 100, for: 2 },
            until: { below: 50 },
            raise: { threads: 4 },
          },
        ],
      },
    });
    const decode = (tokens: number, ms: number) => {
      target.decode = { tokens: target.decode.tokens + tokens, ns: target.decode.ns + tokens * ms * 1e6 };
    };
    await pass(2);
    expect(governor.status().measures!.tokenTime).toBeNull();
    for (let i = 0; i < 5; i++) {
      decode(5, 200);
      await pass(1);
    }
    expect(governor.status().measures!.tokenTime).toBe(200);
    expect(governor.status().levers.threads).toBe(4);
    await pass(10);
    expect(governor.status()).toMatchObject({ measures: { tokenTime: null }, levers: { threads: 4 } });
    decode(10, 20);
    await pass(2);
    expect(governor.status().levers.threads).toBe(2);
  });

  test('by hand: above the rules, for its time, and checked', async () => {
    await start(new Told());
    heat(80);
    await pass(5);
    governor.override({ threads: 3, memory: '2GiB' }, 60, 'ada');
    expect(governor.status()).toMatchObject({
      levers: { threads: 3, memory: 2 ** 31 },
      overrides: [
        { lever: 'threads', value: 3, by: 'ada', seconds: 60 },
        { lever: 'memory', value: 2 ** 31, by: 'ada', seconds: 60 },
      ],
    });
    await pass(60);
    expect(governor.status()).toMatchObject({ levers: { threads: 1 }, overrides: [] });
    governor.override({ lanes: 9 }, 60, 'ada');
    governor.endOverrides();
    expect(governor.status().levers.lanes).toBe(2);
    for (const [levers, seconds] of [
      [{ threads: 0 }, 60],
      [{ threads: 2 }, 0],
      [{ threads: 2 }, NaN],
      [{ threads: 2 }, 86_401],
      [{ expertsPerToken: 1 }, 60],
      ['fast', 60],
    ] as const)
      expect(() => governor.override(levers, seconds, 'ada')).toThrow(
        expect.objectContaining({ name: 'OptionError' }),
      );
    expect(governor.status().overrides).toEqual([]);
  });

  test('another policy: what is the same goes on, what is wrong changes nothing', async () => {
    await start(new Told());
    heat(80);
    await pass(5);
    const before = events.length;
    governor.setPolicy({
      ...POLICY,
      rules: [...POLICY.rules, { name: 'always', during: { from: '00:00', to: '00:00' }, set: { lanes: 1 } }],
    });
    expect(events.slice(before).map((e) => [e.lever, e.from, e.to, e.reason.rule])).toEqual([
      ['lanes', 2, 1, 'always'],
    ]);
    expect(() => governor.setPolicy({ version: 1, rules: [{ name: 'x' }] })).toThrow(
      expect.objectContaining({ code: 'option/policy' }),
    );
    expect(governor.status().rules).toEqual(['hot', 'always']);
    governor.setPolicy({ version: 1, rules: [] });
    expect(governor.status()).toMatchObject({ rules: [], levers: { threads: 4, lanes: 8 } });
    expect(events.at(-1)!.reason.kind).toBe('base');
  });

  test('levers that change answers: refused without leave, and with leave where the model has none', async () => {
    await start(new Told());
    const policy = { version: 1, base: { expertsPerToken: 2 }, rules: [] };
    const options = { policy, target: new Told(), sensors: openSensors({ root: board.root }) };
    await expect(Governor.start(options)).rejects.toMatchObject({ code: 'option/lossy' });
    await expect(Governor.start({ ...options, allowLossy: true })).rejects.toMatchObject({
      code: 'option/lever',
    });
  });
});

test('a real model: heat takes threads and lanes away while it speaks, and not a letter changes', async () => {
  const model = await openModel('models/home-assistant-q4.gguf', {
    contextLength: 256,
    expertSlots: 8,
    threads: 2,
    lanes: 4,
  });
  const speak = async (onPiece: (n: number) => Promise<void>) => {
    const session = model.createSession();
    let text = '';
    let n = 0;
    for await (const piece of session.generate('The state of the', {
      maxTokens: 30,
      temperature: 1,
      seed: 3,
    })) {
      text += piece.text;
      await onPiece(n++);
    }
    await session.close();
    return text;
  };
  const cool = await speak(async () => {});
  const rules = [{ ...POLICY.rules[0], set: { threads: 1, lanes: 1, memory: '1MiB' } }];
  await start(model, { policy: { version: 1, rules } });
  const lanes: number[] = [];
  const hot = await speak(async (n) => {
    if (n === 5) heat(80);
    if (n === 18) heat(60);
    await pass(1);
    lanes.push((await model.statistics()).limits.lanes);
  });
  expect(hot).toBe(cool);
  expect([...new Set(lanes)]).toEqual([4, 1]);
  expect(lanes.at(-1)).toBe(4);
  expect(events.map(({ lever, from, to }) => [lever, from, to])).toEqual([
    ['threads', 2, 1],
    ['lanes', 4, 1],
    ['memory', expect.any(Number), 2 ** 20],
    ['threads', 1, 2],
    ['lanes', 1, 4],
    ['memory', 2 ** 20, expect.any(Number)],
  ]);
  // 1 MiB holds no model: the smallest budget that works was set instead
  expect(failures).toEqual([expect.objectContaining({ lever: 'memory', got: expect.any(Number) })]);
  expect(await model.statistics()).toMatchObject({ limits: { lanes: 4 }, memory: { given: false } });
  await governor.stop();
  await model.close();
});
