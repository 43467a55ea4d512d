import type { LocalTime } from './time-window.js';
import { isWithin } from './time-window.js';
import type { Measures } from './measures.js';
import type { Crossing, Rule } from './policy.js';

/** Longest time that two looks count as one stretch: after a pause nobody knows what was between. */
const LONGEST_STEP_MS = 5000;

/** A rule's memory. */
export interface RuleState {
  readonly active: boolean;
  /** Since when the condition to change has held, in milliseconds of the monotonic clock; null: it does not hold. */
  readonly since: number | null;
}

export const IDLE_RULE: RuleState = { active: false, since: null };

/**
 * A rule's state after a look at the values. A value that is missing changes nothing: what was restricted stays
 * restricted until the sensor says that it may end.
 *
 * @param elapsed monotonic milliseconds
 * @param step milliseconds since the look before
 */
export function advance(
  rule: Rule,
  state: RuleState,
  measures: Measures,
  local: LocalTime,
  elapsed: number,
  step: number,
): RuleState {
  if (rule.during && !isWithin(rule.during, local)) return IDLE_RULE;
  const { condition } = rule;
  if (!condition) return { active: true, since: null };
  const value = measures[condition.reading];
  if (value === null) return { active: state.active, since: null };
  const holds =
    condition.kind === 'state'
      ? (value === condition.is) !== state.active
      : isBeyond(value as number, state.active ? condition.until : condition.when);
  if (!holds) return { active: state.active, since: null };
  const since = state.since === null || step > LONGEST_STEP_MS ? elapsed : state.since;
  const seconds =
    condition.kind === 'state'
      ? state.active
        ? condition.untilSeconds
        : condition.whenSeconds
      : (state.active ? condition.until : condition.when).seconds;
  return elapsed - since >= seconds * 1000
    ? { active: !state.active, since: null }
    : { active: state.active, since };
}

const isBeyond = (value: number, { side, threshold }: Crossing): boolean =>
  side === 'above' ? value > threshold : value < threshold;
