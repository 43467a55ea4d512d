import { describe, expect, test } from '@jest/globals';
import { parsePolicy } from '../../device/governor/policy.js';

const rule = (more: object = {}) => ({
  name: 'hot',
  when: { reading: 'temperature', above: 75 },
  until: { below: 70 },
  set: { threads: 2 },
  ...more,
});
const policy = (...rules: object[]) => ({ version: 1, rules });

test('a policy is checked and its units are read', () => {
  const written = {
    version: 1,
    timeZone: 'Europe/Prague',
    base: { memory: '1GiB' },
    rules: [rule({ during: { from: '22:30', to: '06:00', days: ['friday'] }, set: { memory: '600MiB' } })],
  };
  expect(parsePolicy(JSON.parse(JSON.stringify(written)))).toEqual({
    timeZone: 'Europe/Prague',
    base: { memory: 2 ** 30 },
    rules: [
      {
        name: 'hot',
        condition: {
          kind: 'measure',
          reading: 'temperature',
          when: { side: 'above', threshold: 75, seconds: 0 },
          until: { side: 'below', threshold: 70, seconds: 0 },
        },
        during: { from: 1350, to: 360, days: ['friday'] },
        set: { memory: 600 * 2 ** 20 },
        raise: null,
      },
    ],
  });
});

describe('what is refused, and what it says', () => {
  test.each([
    ['no object', 'hot', 'the policy'],
    ['another version', { version: 2, rules: [] }, 'version'],
    ['an unknown field', { ...policy(), rule: [] }, 'rule'],
    ['an unknown time zone', { ...policy(), timeZone: 'Mars/Olympus' }, 'timeZone'],
    ['an unknown reading', policy(rule({ when: { reading: 'mood', above: 1 } })), 'rules.0'],
    ['no gap', policy(rule({ until: { below: 75 } })), 'until'],
    ['until on the same side', policy(rule({ until: { above: 80 } })), 'until'],
    ['both sides', policy(rule({ when: { reading: 'temperature', above: 75, below: 10 } })), 'rules.0'],
    ['no until', policy({ ...rule(), until: undefined }), 'rules.0'],
    ['neither set nor raise', policy({ ...rule(), set: undefined }), 'rules.0'],
    ['set and raise', policy(rule({ raise: { threads: 3 } })), 'set or raise'],
    ['no lever', policy(rule({ set: {} })), 'rules.0.set'],
    ['an unknown lever', policy(rule({ set: { speed: 1 } })), 'rules.0'],
    ['no thread', policy(rule({ set: { threads: 0 } })), 'rules.0.set.threads'],
    ['half a lane', policy(rule({ set: { lanes: 1.5 } })), 'rules.0.set.lanes'],
    ['memory in words', policy(rule({ set: { memory: 'lots' } })), 'rules.0.set.memory'],
    ['an impossible time', policy(rule({ during: { from: '24:00', to: '06:00' } })), 'rules.0.during.from'],
    ['a name with markup', policy(rule({ name: '<b>' })), 'rules.0.name'],
    ['a name of the prototype', policy(rule({ name: '__proto__' })), 'rules.0.name'],
    ['a name twice', policy(rule(), rule()), 'same name'],
    ['a crowd', policy(...Array.from({ length: 65 }, (_, i) => rule({ name: `r${i}` }))), 'at most 64'],
    ['not a number', policy(rule({ when: { reading: 'temperature', above: NaN } })), 'rules.0'],
  ])('%s', (_, written, said) => {
    let error: unknown;
    try {
      parsePolicy(written);
    } catch (e) {
      error = e;
    }
    expect(error).toMatchObject({ name: 'OptionError', code: 'option/policy' });
    expect((error as Error).message).toContain(said);
  });
});

test('levers that change answers need leave', () => {
  for (const lossy of [{ expertsPerToken: 2 }, { layers: 30 }]) {
    const written = policy(rule({ set: { threads: 1, ...lossy } }));
    expect(() => parsePolicy(written)).toThrow(
      expect.objectContaining({
        code: 'option/lossy',
        message: expect.stringContaining(Object.keys(lossy)[0]!),
      }),
    );
    expect(parsePolicy(written, { allowLossy: true }).rules[0]!.set).toEqual({ threads: 1, ...lossy });
    expect(() => parsePolicy({ version: 1, base: lossy, rules: [] })).toThrow(
      expect.objectContaining({ code: 'option/lossy' }),
    );
  }
});
