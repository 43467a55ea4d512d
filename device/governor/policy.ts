import * as v from 'valibot';
import { OptionError, parseMemorySize } from '../../sdk/index.js';
import { LOSSY_LEVERS, type Lever, type LeverValues } from './lever.js';
import { MEASURES, type Measure, STATES, type State } from './measures.js';
import { DAYS, localClock, type TimeWindow } from './time-window.js';

const MOST_RULES = 64;
const DAY_SECONDS = 86_400;

const Name = v.pipe(
  v.string(),
  v.regex(
    /^[\p{L}\p{N}][\p{L}\p{N} .,:()%°/-]{0,63}$/u,
    'a name has 1 to 64 letters, digits, spaces and .,:()%°/-',
  ),
);
const Seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(DAY_SECONDS));
const Threshold = v.pipe(v.number(), v.finite());
const Count = (most: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(most));
const Bytes = v.union([
  v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  v.pipe(
    v.string(),
    v.maxLength(32),
    v.check(isMemory, 'write 600MiB, 1GiB or bytes'),
    v.transform((text) => parseMemorySize(text)),
  ),
]);
const Clock = v.pipe(
  v.string(),
  v.regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time of day is 00:00 to 23:59'),
  v.transform((text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3))),
);

const Levers = v.pipe(
  v.strictObject({
    threads: v.exactOptional(Count(256)),
    lanes: v.exactOptional(Count(64)),
    memory: v.exactOptional(Bytes),
    expertsPerToken: v.exactOptional(Count(1024)),
    layers: v.exactOptional(Count(1024)),
  }),
  v.check((levers) => Object.keys(levers).length > 0, 'no lever is named'),
);

const measures = Object.keys(MEASURES) as Measure[];
const states = Object.keys(STATES) as State[];
const Beyond = {
  above: v.exactOptional(Threshold),
  below: v.exactOptional(Threshold),
  for: v.optional(Seconds, 0),
};
type Sides = { above?: number; below?: number; for?: number };
const oneSide = ({ above, below }: Sides) => (above === undefined) !== (below === undefined);
const ONE_SIDE = 'give either above or below';

const MeasureRule = {
  when: v.pipe(
    v.strictObject({ reading: v.picklist(measures), ...Beyond }),
    v.check((sides) => oneSide(sides), ONE_SIDE),
  ),
  until: v.pipe(
    v.strictObject(Beyond),
    v.check((sides) => oneSide(sides), ONE_SIDE),
  ),
};
const StateRule = {
  when: v.strictObject({ reading: v.picklist(states), is: v.boolean(), for: v.optional(Seconds, 0) }),
  until: v.optional(v.strictObject({ for: v.optional(Seconds, 0) }), { for: 0 }),
};
const Window = v.strictObject({
  from: Clock,
  to: Clock,
  days: v.optional(v.pipe(v.array(v.picklist(DAYS)), v.minLength(1)), [...DAYS]),
});
const Effect = {
  name: Name,
  during: v.exactOptional(Window),
  set: v.exactOptional(Levers),
  raise: v.exactOptional(Levers),
};

const RuleSchema = v.pipe(
  v.union(
    [
      v.strictObject({ ...Effect, ...MeasureRule }),
      v.strictObject({ ...Effect, ...StateRule }),
      v.strictObject({ ...Effect, during: Window }),
    ],
    'a rule has when and until, or during, or both',
  ),
  v.check((rule) => (rule.set === undefined) !== (rule.raise === undefined), 'give either set or raise'),
  v.check(
    (rule) => hasGap(rule),
    'until must lie on the other side of when, with a gap between: above 75 until below 70',
  ),
);

/** The form of a policy as it is written; {@link parsePolicy} checks it. */
export const PolicySchema = v.strictObject({
  version: v.literal(1),
  /** IANA name for times of day. Default: the device's. */
  timeZone: v.exactOptional(v.pipe(v.string(), v.maxLength(64), v.check(isTimeZone, 'unknown time zone'))),
  /** Values when no rule applies. Default: those with which the model was opened. */
  base: v.exactOptional(Levers),
  rules: v.pipe(
    v.array(RuleSchema),
    v.maxLength(MOST_RULES, `at most ${MOST_RULES} rules`),
    v.check(
      (rules) => new Set(rules.map((r) => r.name)).size === rules.length,
      'two rules have the same name',
    ),
  ),
});

/** Beyond a threshold for some seconds. */
export interface Crossing {
  readonly side: 'above' | 'below';
  readonly threshold: number;
  readonly seconds: number;
}

export type Condition =
  | { readonly kind: 'measure'; readonly reading: Measure; readonly when: Crossing; readonly until: Crossing }
  | {
      readonly kind: 'state';
      readonly reading: State;
      readonly is: boolean;
      readonly whenSeconds: number;
      readonly untilSeconds: number;
    };

/** A checked rule. Without a condition it holds for all of its window. */
export interface Rule {
  readonly name: string;
  readonly condition: Condition | null;
  readonly during: TimeWindow | null;
  /** Upper bounds while the rule holds. */
  readonly set: LeverValues | null;
  /** Lifts the base while the rule holds; bounds of other rules stay. */
  readonly raise: LeverValues | null;
}

/** A checked policy. */
export interface Policy {
  readonly timeZone: string | undefined;
  readonly base: LeverValues;
  readonly rules: readonly Rule[];
}

export interface PolicyOptions {
  /** Accept levers that change answers. Default false. */
  allowLossy?: boolean;
}

/**
 * Checks a policy from a file or a message; nothing in it is believed.
 * Throws OptionError: "option/policy" says which field and why, "option/lossy" names a lever that changes answers.
 */
export function parsePolicy(input: unknown, { allowLossy = false }: PolicyOptions = {}): Policy {
  const parsed = v.safeParse(PolicySchema, input, { abortEarly: true });
  if (!parsed.success) {
    const issue = innermost(parsed.issues[0]);
    throw new OptionError(
      'option/policy',
      `governor policy: ${issue.path || 'the policy'}: ${issue.message}`,
      'docs/governor.md describes policies.',
    );
  }
  const { timeZone, base = {}, rules } = parsed.output;
  const policy = { timeZone, base, rules: rules.map(ruleOf) };
  const lossy = leversOf(policy).find((lever) => (LOSSY_LEVERS as readonly Lever[]).includes(lever));
  if (lossy !== undefined && !allowLossy)
    throw new OptionError(
      'option/lossy',
      `governor policy: ${lossy} changes what the model answers`,
      'Remove it, or allow it with allowLossy where the policy is loaded.',
    );
  return policy;
}

/** Every lever that a policy names. */
export function leversOf({ base, rules }: Policy): Lever[] {
  const all = [base, ...rules.flatMap((rule) => [rule.set ?? {}, rule.raise ?? {}])];
  return [...new Set(all.flatMap((levers) => Object.keys(levers) as Lever[]))];
}

type WrittenRule = v.InferOutput<typeof RuleSchema>;

function ruleOf(rule: WrittenRule): Rule {
  return {
    name: rule.name,
    condition: 'when' in rule ? conditionOf(rule) : null,
    during: rule.during ?? null,
    set: rule.set ?? null,
    raise: rule.raise ?? null,
  };
}

function conditionOf(rule: Extract<WrittenRule, { when: unknown }>): Condition {
  if ('is' in rule.when) {
    const { reading, is } = rule.when;
    return { kind: 'state', reading, is, whenSeconds: rule.when.for, untilSeconds: rule.until.for };
  }
  return {
    kind: 'measure',
    reading: rule.when.reading,
    when: crossingOf(rule.when),
    until: crossingOf(rule.until),
  };
}

function crossingOf(written: Sides & { for: number }): Crossing {
  return written.above === undefined
    ? { side: 'below', threshold: written.below!, seconds: written.for }
    : { side: 'above', threshold: written.above, seconds: written.for };
}

/** Without a gap, a value that trembles at the threshold would pull the lever every second. */
function hasGap(rule: object): boolean {
  const { when = {}, until = {} } = rule as { when?: Sides; until?: Sides };
  const { above, below } = when;
  if (above !== undefined) return until.below !== undefined && until.below < above;
  if (below !== undefined) return until.above !== undefined && until.above > below;
  return true;
}

function isMemory(text: string): boolean {
  try {
    return parseMemorySize(text) > 0;
  } catch {
    return false;
  }
}

function isTimeZone(name: string): boolean {
  try {
    localClock(name);
    return true;
  } catch {
    return false;
  }
}

/** Of a union, the complaint of the form that came furthest says what is meant. */
function innermost(issue: v.BaseIssue<unknown>): { path: string; message: string } {
  const nested = (issue.issues ?? []).filter((i) => (i.path?.length ?? 0) > 0);
  const deepest = nested.sort((a, b) => b.path!.length - a.path!.length)[0];
  const inside = deepest ? innermost(deepest) : null;
  const own = v.getDotPath(issue) ?? '';
  if (!inside) return { path: own, message: issue.message };
  return { path: [own, inside.path].filter(Boolean).join('.'), message: inside.message };
}
