import { describe, expect, test } from '@jest/globals';
import { Moments, RANGES } from './moments.js';

const HOT = {
  name: 'hot',
  when: { reading: 'temperature', above: 75, for: 5 },
  until: { below: 68, for: 10 },
  set: { threads: 2, lanes: 4 },
};

describe('a rule with thresholds', () => {
  test('holds after its seconds, ends after those of until, and says why', () => {
    const m = new Moments([HOT]);
    m.stay({ temperature: 80 }, 5);
    expect(m.events).toEqual([]);
    expect(m.look({ temperature: 81 })).toMatchObject({ threads: 2, lanes: 4, memory: 2 ** 30 });
    expect(m.events).toEqual([
      {
        time: m.time,
        lever: 'threads',
        from: 4,
        to: 2,
        reason: { kind: 'limit', rule: 'hot', reading: 'temperature', value: 81, threshold: 75 },
      },
      expect.objectContaining({ lever: 'lanes', from: 8, to: 4 }),
    ]);
    m.events.length = 0;
    m.stay({ temperature: 67 }, 10);
    expect(m.events).toEqual([]);
    expect(m.look({ temperature: 66.5 })).toMatchObject({ threads: 4, lanes: 8 });
    expect(m.events[0]!.reason).toEqual({
      kind: 'release',
      rule: 'hot',
      reading: 'temperature',
      value: 66.5,
      threshold: 68,
    });
  });

  test('does not flap at either threshold', () => {
    const m = new Moments([{ ...HOT, when: { reading: 'temperature', above: 75 }, until: { below: 68 } }]);
    for (let i = 0; i < 500; i++) m.look({ temperature: i % 2 ? 74.9 : 75.1 });
    expect(m.events).toHaveLength(2);
    for (let i = 0; i < 500; i++) m.look({ temperature: i % 2 ? 68.1 : 68 });
    expect(m.events).toHaveLength(2);
    m.look({ temperature: 67.9 });
    expect(m.events).toHaveLength(4);
  });

  test('needs its seconds without a break', () => {
    const m = new Moments([HOT]);
    for (let i = 0; i < 20; i++) {
      m.stay({ temperature: 80 }, 5);
      m.look({ temperature: 75 });
    }
    expect(m.events).toEqual([]);
  });

  test('does not count a time in which nobody looked', () => {
    const m = new Moments([HOT]);
    m.look({ temperature: 80 });
    m.look({ temperature: 80 }, 600);
    expect(m.events).toEqual([]);
    expect(m.stay({ temperature: 80 }, 5)).toMatchObject({ threads: 2 });
  });

  test('a sensor that falls silent changes nothing', () => {
    const m = new Moments([HOT]);
    m.stay({}, 60);
    expect(m.events).toEqual([]);
    m.stay({ temperature: 90 }, 6);
    expect(m.stay({}, 600)).toMatchObject({ threads: 2 });
    expect(m.events).toHaveLength(2);
  });
});

test('below works as above does; states need no gap', () => {
  const m = new Moments([
    { name: 'low', when: { reading: 'battery', below: 20 }, until: { above: 25 }, set: { memory: '512MiB' } },
    { name: 'slowed', when: { reading: 'throttling', is: true }, until: { for: 2 }, set: { threads: 1 } },
  ]);
  expect(m.look({ battery: 19, throttling: true })).toMatchObject({ memory: 2 ** 29, threads: 1 });
  expect(m.look({ battery: 24, throttling: false })).toMatchObject({ memory: 2 ** 29, threads: 1 });
  expect(m.stay({ battery: 26, throttling: false }, 2)).toMatchObject({ memory: 2 ** 30, threads: 4 });
  expect(m.events.at(-1)!.reason).toEqual({
    kind: 'release',
    rule: 'slowed',
    reading: 'throttling',
    value: false,
    threshold: false,
  });
});

describe('several rules', () => {
  const at = (name: string, above: number, levers: object) => ({
    name,
    when: { reading: 'temperature', above },
    until: { below: above - 5 },
    set: levers,
  });

  test('combine to the most restrictive, whatever their order', () => {
    const rules = [at('warm', 60, { threads: 3, lanes: 2 }), at('hot', 70, { threads: 1, lanes: 6 })];
    for (const order of [rules, [...rules].reverse()]) {
      const m = new Moments(order);
      expect(m.look({ temperature: 65 })).toMatchObject({ threads: 3, lanes: 2 });
      expect(m.look({ temperature: 75 })).toMatchObject({ threads: 1, lanes: 2 });
      expect(m.look({ temperature: 64 })).toMatchObject({ threads: 3, lanes: 2 });
      expect(m.events.at(-1)).toMatchObject({ lever: 'threads', reason: { kind: 'release', rule: 'hot' } });
    }
  });

  test('a bound above the base restricts nothing', () => {
    const m = new Moments([at('warm', 60, { threads: 7 })]);
    expect(m.look({ temperature: 65 })).toMatchObject({ threads: 4 });
    expect(m.events).toEqual([]);
  });

  test('raise lifts the base to meet a latency, but no rule’s bound', () => {
    const m = new Moments(
      [
        {
          name: 'too slow',
          when: { reading: 'tokenTime', above: 100, for: 2 },
          until: { below: 40, for: 2 },
          raise: { threads: 100 },
        },
        at('warm', 60, { threads: 3 }),
      ],
      { base: { threads: 2 } },
    );
    expect(m.look({ tokenTime: 150 })).toMatchObject({ threads: 2 });
    expect(m.events[0]!.reason.kind).toBe('base');
    expect(m.stay({ tokenTime: 150 }, 2)).toMatchObject({ threads: 8 }); // the range's end
    expect(m.events[1]!.reason).toMatchObject({
      kind: 'raise',
      rule: 'too slow',
      value: 150,
      threshold: 100,
    });
    expect(m.look({ tokenTime: 60, temperature: 65 })).toMatchObject({ threads: 3 });
    expect(m.look({ temperature: 50 })).toMatchObject({ threads: 8 });
    expect(m.stay({ tokenTime: 30 }, 3)).toMatchObject({ threads: 2 });
    expect(m.events.at(-1)!.reason).toMatchObject({ kind: 'release', rule: 'too slow', threshold: 40 });
  });
});

describe('times of day', () => {
  const NIGHT = { name: 'night', during: { from: '22:00', to: '06:00' }, set: { threads: 1 } };

  test('across midnight, and a clock that jumps to and fro', () => {
    const m = new Moments([NIGHT]);
    const at = (text: string) => {
      m.setClock(text);
      return m.look({}, 0).threads;
    };
    expect(at('2024-01-03T21:59:59Z')).toBe(4);
    expect(at('2024-01-03T22:00:00Z')).toBe(1);
    expect(at('2024-01-04T00:00:00Z')).toBe(1);
    expect(at('2024-01-04T05:59:59Z')).toBe(1);
    expect(at('2024-01-04T06:00:00Z')).toBe(4);
    expect(at('1970-01-01T00:00:00Z')).toBe(1);
    expect(at('2037-01-01T12:00:00Z')).toBe(4);
    expect(m.events.map((e) => e.reason.kind)).toEqual(['limit', 'release', 'limit', 'release']);
  });

  test('days are those on which it begins', () => {
    const m = new Moments([{ ...NIGHT, during: { ...NIGHT.during, days: ['friday'] } }]);
    const at = (text: string) => {
      m.setClock(text);
      return m.look({}, 0).threads;
    };
    expect(at('2024-01-05T05:00:00Z')).toBe(4); // Friday morning: began on Thursday
    expect(at('2024-01-05T23:00:00Z')).toBe(1);
    expect(at('2024-01-06T05:00:00Z')).toBe(1);
    expect(at('2024-01-06T23:00:00Z')).toBe(4);
  });

  test('a window and a condition must both hold; the window’s end releases', () => {
    const m = new Moments([{ ...HOT, during: { from: '08:00', to: '12:01' } }]);
    m.stay({ temperature: 90 }, 10);
    expect(m.state.levers).toMatchObject({ threads: 2 });
    expect(m.stay({ temperature: 90 }, 50)).toMatchObject({ threads: 4 });
    expect(m.events.at(-1)!.reason).toMatchObject({ kind: 'release', rule: 'hot', reading: null });
  });

  test('setting the clock neither shortens nor prolongs "for"', () => {
    const m = new Moments([HOT]);
    m.stay({ temperature: 80 }, 3);
    m.setClock('2030-01-01T00:00:00Z');
    m.look({ temperature: 80 });
    expect(m.events).toEqual([]);
    m.setClock('1999-01-01T00:00:00Z');
    m.stay({ temperature: 80 }, 2);
    expect(m.events).toHaveLength(2);
  });
});

describe('by hand', () => {
  test('stands above rules, ends by itself, and only time that passes counts', () => {
    const m = new Moments([HOT]);
    m.stay({ temperature: 80 }, 6);
    m.hold('threads', { value: 3, by: 'ada', expires: m.elapsed + 60_000 });
    m.hold('lanes', { value: 1000, by: 'ada', expires: m.elapsed + 60_000 });
    expect(m.look({ temperature: 80 })).toMatchObject({ threads: 3, lanes: 64 });
    expect(m.events.at(-1)).toMatchObject({
      lever: 'lanes',
      to: 64,
      reason: { kind: 'override', rule: 'ada' },
    });
    m.setClock('2030-01-01T00:00:00Z');
    expect(m.stay({ temperature: 80 }, 58)).toMatchObject({ threads: 3 });
    expect(m.look({ temperature: 80 })).toMatchObject({ threads: 2, lanes: 4 });
    expect(m.events.at(-1)!.reason).toMatchObject({ kind: 'override-end', rule: 'ada' });
    expect(m.state.overrides).toEqual({});
  });
});

/** Numbers from 0 to 1, the same every time (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])('random walks of temperature and battery (seed %i)', (seed) => {
  const next = random(seed);
  const between = (low: number, high: number) => low + next() * (high - low);
  const levers = () => ({
    threads: 1 + Math.floor(next() * 12),
    lanes: 1 + Math.floor(next() * 64),
    memory: 1 + Math.floor(next() * 2 ** 33),
  });
  const rules = Array.from({ length: 1 + Math.floor(next() * 5) }, (_, i) => {
    const high = between(60, 90);
    const hot = next() < 0.7;
    const [when, until] = hot
      ? [{ reading: 'temperature', above: high }, { below: high - between(1, 10) }]
      : [{ reading: 'battery', below: 100 - high }, { above: 100 - high + between(1, 10) }];
    return {
      name: `rule ${i}`,
      when: { ...when, for: Math.floor(next() * 4) },
      until: { ...until, for: Math.floor(next() * 4) },
      [next() < 0.8 ? 'set' : 'raise']: levers(),
    };
  });
  const m = new Moments(rules);
  const values = { temperature: 60, battery: 50 };
  /** How often a value went from one side of a rule's gap to the other: no rule may change more often. */
  const sides = rules.map(() => false);
  let crossings = 0;
  const outside: string[] = [];
  const untold: number[] = [];
  for (let i = 0; i < 1500; i++) {
    values.temperature = Math.min(100, Math.max(20, values.temperature + between(-3, 3)));
    values.battery = Math.min(100, Math.max(0, values.battery + between(-2, 2)));
    rules.forEach(({ when, until }, r) => {
      const begins =
        'above' in when && when.above !== undefined
          ? values.temperature > (when.above as number)
          : values.battery < (when as unknown as { below: number }).below;
      const ends =
        'below' in until && until.below !== undefined
          ? values.temperature < (until.below as number)
          : values.battery > (until as unknown as { above: number }).above;
      if (sides[r] ? ends : begins) {
        sides[r] = !sides[r];
        crossings++;
      }
    });
    const before = m.state.levers;
    const silent = next() < 0.05;
    const told = m.events.length;
    const now = m.look(silent ? {} : values);
    const moved: unknown[] = [];
    for (const lever of Object.keys(RANGES) as (keyof typeof now)[]) {
      const { lowest, highest } = RANGES[lever]!;
      if (!(now[lever]! >= lowest && now[lever]! <= highest)) outside.push(`${lever} ${now[lever]}`);
      if (now[lever] !== before[lever]) moved.push([lever, before[lever], now[lever]]);
    }
    // every change is told once, with its true ends
    const events = m.events.slice(told).map(({ lever, from, to }) => [lever, from, to]);
    if (JSON.stringify(events) !== JSON.stringify(moved)) untold.push(i);
  }
  expect(outside).toEqual([]);
  expect(untold).toEqual([]);
  expect(crossings).toBeGreaterThan(0);
  expect(m.events.length).toBeLessThanOrEqual(crossings * 3);
});
