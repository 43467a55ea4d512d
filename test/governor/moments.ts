import { decide, type GovernorState, initialState, type Override } from '../../device/governor/decide.js';
import type { GovernorEvent } from '../../device/governor/governor-event.js';
import type { Lever, LeverRanges } from '../../device/governor/lever.js';
import { type Measures, measuresOf } from '../../device/governor/measures.js';
import { parsePolicy } from '../../device/governor/policy.js';
import { localClock } from '../../device/governor/time-window.js';

/** What a board says that tells nothing. */
export const SILENCE: Measures = measuresOf(
  {
    temperature: null,
    throttling: null,
    battery: null,
    mains: null,
    power: null,
    memory: null,
    memoryPressure: null,
    flashWear: null,
  },
  null,
);

export const RANGES: LeverRanges = {
  threads: { lowest: 1, highest: 8, normal: 4 },
  lanes: { lowest: 1, highest: 64, normal: 8 },
  memory: { lowest: 1, highest: 4 * 2 ** 30, normal: 2 ** 30 },
};

/** Drives the pure core second by second. */
export class Moments {
  state: GovernorState;
  readonly events: GovernorEvent[] = [];
  readonly #policy;
  readonly #local;
  elapsed = 0;
  /** 2024-01-03, a Wednesday, noon UTC. */
  time = Date.UTC(2024, 0, 3, 12);

  constructor(
    rules: unknown,
    more: object = {},
    readonly ranges = RANGES,
  ) {
    this.#policy = parsePolicy({ version: 1, timeZone: 'UTC', ...more, rules });
    this.#local = localClock('UTC');
    this.state = initialState(ranges);
  }

  /** Looks after `seconds`, and returns the levers. */
  look(measures: Partial<Measures>, seconds = 1) {
    this.elapsed += seconds * 1000;
    this.time += seconds * 1000;
    const now = { elapsed: this.elapsed, time: this.time, local: this.#local(this.time) };
    const decision = decide(this.#policy, this.ranges, this.state, { ...SILENCE, ...measures }, now);
    this.state = decision.state;
    this.events.push(...decision.events);
    return this.state.levers;
  }

  /** The same values for some seconds. */
  stay(measures: Partial<Measures>, seconds: number) {
    for (let i = 0; i < seconds; i++) this.look(measures);
    return this.state.levers;
  }

  /** Sets the clock on the wall; the other goes on. */
  setClock(text: string): void {
    this.time = Date.parse(text);
  }

  hold(lever: Lever, override: Override): void {
    this.state = { ...this.state, overrides: { ...this.state.overrides, [lever]: override } };
  }
}
