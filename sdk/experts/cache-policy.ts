/**
 * Decides which resident expert gives up its slot. Experts are numbered key = layer * expertsPerLayer + expert.
 * A policy changes only what is read again, never a result.
 *
 * Calls come in the order of use: for each layer step, `touch` for every expert requested (hit or miss), `insert`
 * for each miss that got a slot. `victim` is asked when no slot is free; it must return a resident key for which
 * `pinned(key)` is false, or -1 when there is none.
 */
export interface CachePolicy {
  readonly name: string;
  /** A layer's experts were requested: key is used now, at layer step `step` (counts up by 1 per layer visit). */
  touch(key: number, step: number): void;
  insert(key: number, step: number): void;
  remove(key: number): void;
  victim(step: number, pinned: (key: number) => boolean): number;
  /** The cache has another number of slots now; what was learnt stays. Only for policies that share slots out. */
  resize?(slots: number): void;
}

/** What a policy may know at the start. */
export interface CacheShape {
  readonly layers: number;
  readonly expertsPerLayer: number;
  readonly usedPerLayer: number;
  /** Slots in the cache at first; see {@link CachePolicy.resize}. */
  readonly slots: number;
}

export type CachePolicyFactory = (shape: CacheShape) => CachePolicy;
