import type { Lever } from './lever.js';
import type { Measure, State } from './measures.js';

/** Why a lever moved. */
export interface GovernorReason {
  /**
   * "limit": a rule began to bound it, "raise": a rule lifted it, "release": the rule that held it ended, "base": the
   * policy's value without rules, "override": by hand, "override-end": that ended.
   */
  readonly kind: 'limit' | 'raise' | 'release' | 'base' | 'override' | 'override-end';
  /** Name of the rule; for overrides, who asked. Null for "base". */
  readonly rule: string | null;
  readonly reading: Measure | State | null;
  readonly value: number | boolean | null;
  /** What the value was compared with. */
  readonly threshold: number | boolean | null;
}

/** A decision: one lever, once. */
export interface GovernorEvent {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly lever: Lever;
  readonly from: number;
  readonly to: number;
  readonly reason: GovernorReason;
}
