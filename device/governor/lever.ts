/** What changes speed, heat and memory, never a result. */
export const LOSSLESS_LEVERS = ['threads', 'lanes', 'memory'] as const;
/** What changes answers. Refused unless the owner allowed it. */
export const LOSSY_LEVERS = ['expertsPerToken', 'layers'] as const;

export type LosslessLever = (typeof LOSSLESS_LEVERS)[number];
export type LossyLever = (typeof LOSSY_LEVERS)[number];
export type Lever = LosslessLever | LossyLever;

/**
 * Values of levers: threads, lanes (reads in flight), memory (bytes); lossy: experts a token uses, layers it passes.
 * Lower is always the more restrictive.
 */
export type LeverValues = Readonly<Partial<Record<Lever, number>>>;

/** What a lever can be set to, and its value when no rule wants another. */
export interface LeverRange {
  readonly lowest: number;
  readonly highest: number;
  readonly normal: number;
  /** Normal is not a fixed value but what the target chooses itself. */
  readonly chosen?: boolean;
}

/** The levers that a target has. */
export type LeverRanges = Readonly<Partial<Record<Lever, LeverRange>>>;

export const withinRange = (value: number, { lowest, highest }: LeverRange): number =>
  Math.min(highest, Math.max(lowest, value));
