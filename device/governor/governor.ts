import { isDeepStrictEqual } from 'node:util';
import type { Sensors } from '../../firmware-bridge/sensors/open-sensors.js';
import { OptionError } from '../../sdk/index.js';
import { decide, type GovernorState, initialState } from './decide.js';
import { type GovernorClock, SYSTEM_CLOCK } from './governor-clock.js';
import type { GovernorEvent } from './governor-event.js';
import { type GovernorTarget, rangesOf } from './governor-target.js';
import type { Lever, LeverRanges, LeverValues } from './lever.js';
import { type LeverFailure, LeverSetter } from './lever-setter.js';
import { type Measures, measuresOf } from './measures.js';
import { leversOf, parsePolicy, type Policy } from './policy.js';
import { localClock } from './time-window.js';
import { TokenTime } from './token-time.js';

/** Slow against tokens, fast against heat. */
const INTERVAL_MS = 1000;
const LONGEST_OVERRIDE_SECONDS = 86_400;

export interface GovernorOptions {
  /** A policy as written (docs/governor.md). */
  policy: unknown;
  target: GovernorTarget;
  sensors: Sensors;
  /** Every decision, when it is made. */
  onEvent?: (event: GovernorEvent) => void;
  /** A lever that could not be set as decided. */
  onFailure?: (failure: LeverFailure) => void;
  /** Accept levers that change answers. Default false. */
  allowLossy?: boolean;
  clock?: GovernorClock;
}

/** What a governor does now. */
export interface GovernorStatus {
  /** Names of the rules that hold. */
  readonly rules: readonly string[];
  readonly levers: LeverValues;
  /** Levers held by hand, and the seconds left. */
  readonly overrides: readonly { lever: Lever; value: number; by: string; seconds: number }[];
  readonly measures: Measures | null;
}

/**
 * Looks at the board once a second and moves the model's levers as the policy says. It computes nothing itself: the
 * decisions are {@link decide}'s.
 */
export class Governor {
  readonly #options: GovernorOptions;
  readonly #clock: GovernorClock;
  readonly #ranges: LeverRanges;
  readonly #setter: LeverSetter;
  readonly #tokenTime: TokenTime;
  readonly #stop: () => void;
  #policy: Policy;
  #local: ReturnType<typeof localClock>;
  #state: GovernorState;
  #measures: Measures | null = null;

  /** @internal */
  private constructor(options: GovernorOptions, policy: Policy, ranges: LeverRanges) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#policy = policy;
    this.#local = localClock(policy.timeZone);
    this.#ranges = ranges;
    this.#state = initialState(ranges);
    this.#setter = new LeverSetter(
      options.target,
      ranges,
      (failure) => options.onFailure?.(failure),
      () => this.#clock.elapsed(),
    );
    this.#tokenTime = new TokenTime(options.target);
    this.tick();
    this.#stop = this.#clock.every(INTERVAL_MS, () => this.tick());
  }

  /** Starts at once. Throws OptionError for a policy that is wrong, lossy without leave, or asks for missing levers. */
  static async start(options: GovernorOptions): Promise<Governor> {
    const policy = parsePolicy(options.policy, options);
    const ranges = await rangesOf(options.target);
    checkLevers(policy, ranges);
    return new Governor(options, policy, ranges);
  }

  /** One look. The clock calls it; there is no need to. */
  tick(): void {
    const { sensors, onEvent } = this.#options;
    const usesTokenTime = this.#policy.rules.some(({ condition }) => condition?.reading === 'tokenTime');
    const measures = measuresOf(sensors.read(), usesTokenTime ? this.#tokenTime.take() : null);
    const time = this.#clock.time();
    const now = { elapsed: this.#clock.elapsed(), time, local: this.#local(time) };
    const { state, actions, events } = decide(this.#policy, this.#ranges, this.#state, measures, now);
    this.#state = state;
    this.#measures = measures;
    this.#setter.set(actions);
    this.#setter.retry();
    for (const event of events) onEvent?.(event);
  }

  /** Another policy, effective at once. Rules that are the same in both go on. Throws as {@link start}; then the old one stays. */
  setPolicy(written: unknown): void {
    const policy = parsePolicy(written, this.#options);
    checkLevers(policy, this.#ranges);
    const before = new Map(this.#policy.rules.map((rule) => [rule.name, rule]));
    const kept = policy.rules.filter((rule) => isDeepStrictEqual(rule, before.get(rule.name)));
    const rules = new Map(
      kept.flatMap(({ name }) => {
        const state = this.#state.rules.get(name);
        return state ? [[name, state] as const] : [];
      }),
    );
    this.#policy = policy;
    this.#local = localClock(policy.timeZone);
    this.#state = { ...this.#state, rules };
    this.tick();
  }

  /**
   * Holds levers by hand, above all rules, for at most a day. Values outside of a lever's range become its ends.
   * @param levers as in a policy: { threads: 2, memory: "600MiB" }
   * @param by who asked; told in the events
   */
  override(levers: unknown, seconds: number, by: string): void {
    const { base } = parsePolicy({ version: 1, base: levers, rules: [] }, this.#options);
    checkLevers({ timeZone: undefined, base, rules: [] }, this.#ranges);
    if (!(seconds > 0 && seconds <= LONGEST_OVERRIDE_SECONDS))
      throw new OptionError(
        'option/seconds',
        `an override of ${seconds} seconds`,
        `Give more than 0 and at most ${LONGEST_OVERRIDE_SECONDS} seconds.`,
      );
    const expires = this.#clock.elapsed() + seconds * 1000;
    const added = Object.entries(base).map(([lever, value]) => [lever, { value, by, expires }]);
    this.#state = {
      ...this.#state,
      overrides: { ...this.#state.overrides, ...(Object.fromEntries(added) as GovernorState['overrides']) },
    };
    this.tick();
  }

  /** Ends all overrides. */
  endOverrides(): void {
    this.#state = { ...this.#state, overrides: {} };
    this.tick();
  }

  status(): GovernorStatus {
    const { rules, levers, overrides } = this.#state;
    return {
      rules: this.#policy.rules.filter(({ name }) => rules.get(name)?.active).map(({ name }) => name),
      levers,
      overrides: Object.entries(overrides).map(([lever, { value, by, expires }]) => ({
        lever: lever as Lever,
        value,
        by,
        seconds: Math.max(0, (expires - this.#clock.elapsed()) / 1000),
      })),
      measures: this.#measures,
    };
  }

  /** Settles when every decision so far was put into effect, or failed. */
  async idle(): Promise<void> {
    await this.#tokenTime.idle();
    await this.#setter.idle();
  }

  /** Looks no more. Levers stay where they are. */
  async stop(): Promise<void> {
    this.#stop();
    await this.idle();
  }
}

function checkLevers(policy: Policy, ranges: LeverRanges): void {
  const missing = leversOf(policy).find((lever) => !ranges[lever]);
  if (missing !== undefined)
    throw new OptionError(
      'option/lever',
      `governor policy: this model has no lever "${missing}"`,
      `It has ${Object.keys(ranges).join(', ')}.`,
    );
}
