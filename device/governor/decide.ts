import type { GovernorEvent, GovernorReason } from './governor-event.js';
import { type Lever, type LeverRanges, type LeverValues, withinRange } from './lever.js';
import type { Measures } from './measures.js';
import type { Policy, Rule } from './policy.js';
import { advance, IDLE_RULE, type RuleState } from './rule-state.js';
import { isWithin, type LocalTime } from './time-window.js';

/** A moment: the clock that only grows, for durations, and the one on the wall, for times of day. */
export interface Moment {
  /** Milliseconds that only grow. */
  readonly elapsed: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly local: LocalTime;
}

/** A lever held by hand, above all rules. */
export interface Override {
  readonly value: number;
  /** Who asked; for the events. */
  readonly by: string;
  /** In milliseconds of the monotonic clock, so that setting the clock neither ends nor prolongs it. */
  readonly expires: number;
}

/** All that a governor remembers. Plain data. */
export interface GovernorState {
  /** By name. */
  readonly rules: ReadonlyMap<string, RuleState>;
  readonly levers: LeverValues;
  readonly overrides: Readonly<Partial<Record<Lever, Override>>>;
  /** What holds each lever now. */
  readonly holders: Readonly<Partial<Record<Lever, Holder>>>;
  /** Time of the last decision, monotonic; null before the first. */
  readonly at: number | null;
}

interface Holder {
  readonly kind: 'limit' | 'raise' | 'base' | 'override';
  readonly name: string | null;
}

export interface Decision {
  readonly state: GovernorState;
  /** Levers to move now. */
  readonly actions: LeverValues;
  readonly events: readonly GovernorEvent[];
}

/** The state before the first decision: every lever where the target has it. */
export function initialState(ranges: LeverRanges): GovernorState {
  const levers = Object.entries(ranges).map(([lever, { normal }]) => [lever, normal]);
  return { rules: new Map(), levers: Object.fromEntries(levers), overrides: {}, holders: {}, at: null };
}

/**
 * One look: which rules hold, and where that puts each lever. A pure function of its arguments.
 *
 * The base, lifted by the highest active "raise", is bounded by the lowest active "set": several rules combine to the
 * most restrictive. An override by hand stands above. Whatever comes out lies within the target's range.
 */
export function decide(
  policy: Policy,
  ranges: LeverRanges,
  state: GovernorState,
  measures: Measures,
  now: Moment,
): Decision {
  const step = state.at === null ? 0 : now.elapsed - state.at;
  const rules = new Map<string, RuleState>();
  for (const rule of policy.rules) {
    const before = state.rules.get(rule.name) ?? IDLE_RULE;
    rules.set(rule.name, advance(rule, before, measures, now.local, now.elapsed, step));
  }
  const active = policy.rules.filter((rule) => rules.get(rule.name)!.active);
  const overrides = Object.fromEntries(
    Object.entries(state.overrides).filter(([, { expires }]) => now.elapsed < expires),
  ) as GovernorState['overrides'];

  const levers: Partial<Record<Lever, number>> = {};
  const holders: Partial<Record<Lever, Holder>> = {};
  const actions: Partial<Record<Lever, number>> = {};
  const events: GovernorEvent[] = [];
  for (const lever of Object.keys(ranges) as Lever[]) {
    const range = ranges[lever]!;
    const { value, holder } = position(lever, policy.base[lever] ?? range.normal, active, overrides[lever]);
    const to = withinRange(value, range);
    const from = state.levers[lever] ?? range.normal;
    levers[lever] = to;
    holders[lever] = holder;
    if (to === from) continue;
    actions[lever] = to;
    const reason = reasonFor(policy, holder, state.holders[lever], to > from, rules, measures, now.local);
    events.push({ time: now.time, lever, from, to, reason });
  }
  return { state: { rules, levers, overrides, holders, at: now.elapsed }, actions, events };
}

/** Where rules and overrides put a lever, before the range. Of equal rules the first holds it. */
function position(
  lever: Lever,
  base: number,
  active: readonly Rule[],
  override: Override | undefined,
): { value: number; holder: Holder } {
  if (override) return { value: override.value, holder: { kind: 'override', name: override.by } };
  let value = base;
  let holder: Holder = { kind: 'base', name: null };
  for (const { name, raise } of active)
    if (raise?.[lever] !== undefined && raise[lever] > value) {
      value = raise[lever];
      holder = { kind: 'raise', name };
    }
  for (const { name, set } of active)
    if (set?.[lever] !== undefined && set[lever] < value) {
      value = set[lever];
      holder = { kind: 'limit', name };
    }
  return { value, holder };
}

/** The rule that moved a lever: the one that holds it now or, when it moved because that ended, the one before. */
function reasonFor(
  policy: Policy,
  holder: Holder,
  before: Holder | undefined,
  up: boolean,
  rules: ReadonlyMap<string, RuleState>,
  measures: Measures,
  local: LocalTime,
): GovernorReason {
  const plain = { reading: null, value: null, threshold: null };
  if (holder.kind === 'override') return { kind: 'override', rule: holder.name, ...plain };
  if (before?.kind === 'override') return { kind: 'override-end', rule: before.name, ...plain };
  const held = (h: Holder | undefined) => policy.rules.find((rule) => rule.name === h?.name);
  const ended = held(before);
  const released =
    ended !== undefined && !rules.get(ended.name)!.active && (before!.kind === 'limit') === up
      ? ended
      : undefined;
  const rule = released ?? held(holder);
  if (!rule) return { kind: 'base', rule: null, ...plain };
  const { condition } = rule;
  const kind = released ? 'release' : (holder.kind as 'limit' | 'raise');
  // a window's end needs no value
  const windowEnded = released?.during && !isWithin(released.during, local);
  if (!condition || windowEnded) return { kind, rule: rule.name, ...plain };
  const threshold =
    condition.kind === 'state'
      ? condition.is !== (released !== undefined)
      : (released ? condition.until : condition.when).threshold;
  return { kind, rule: rule.name, reading: condition.reading, value: measures[condition.reading], threshold };
}
