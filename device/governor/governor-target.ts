import { availableParallelism, totalmem } from 'node:os';
import type { LeverRanges } from './lever.js';

/** What a governor moves. An open model is one. */
export interface GovernorTarget {
  statistics(): Promise<{
    readonly limits: { readonly threads: number; readonly lanes: number };
    readonly memory: {
      readonly budgetBytes: number;
      /** Not chosen by the model itself. */ readonly given: boolean;
    };
    /** Generated tokens and the nanoseconds they took, cumulative. */
    readonly decode: { readonly tokens: number; readonly ns: number };
  }>;
  /** Takes effect between tokens and changes no result. */
  setLimits(limits: { threads?: number; lanes?: number }): Promise<unknown>;
  /** Null: what the model chooses itself. May throw an error with `smallestBytes`. */
  setMemory(bytes: number | null): Promise<unknown>;
}

const MOST_LANES = 64;

/** The levers of a target. Normal is what it has now. */
export async function rangesOf(target: GovernorTarget): Promise<LeverRanges> {
  const { limits, memory } = await target.statistics();
  const upTo = (highest: number, normal: number) => ({
    lowest: 1,
    highest: Math.max(highest, normal),
    normal,
  });
  return {
    threads: upTo(availableParallelism(), limits.threads),
    lanes: upTo(MOST_LANES, limits.lanes),
    // what is too little only the model knows, when it is set
    memory: { ...upTo(totalmem(), memory.budgetBytes), chosen: !memory.given },
  };
}
