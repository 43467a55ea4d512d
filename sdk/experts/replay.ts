import { OptionError } from '../error.js';
import type { CachePolicyFactory } from './cache-policy.js';
import type { RoutingTrace } from './trace.js';

/** Counts of one layer, or of all. hits + misses = requests; bytes read = misses × the size of an expert. */
export interface CacheCounts {
  requests: number;
  hits: number;
  misses: number;
  evictions: number;
}

/** What a cache did on a trace. */
export interface ReplayResult extends CacheCounts {
  /** By layer of the request; an eviction counts at the layer that needed the slot. */
  readonly perLayer: readonly CacheCounts[];
}

export interface ReplayOptions {
  /** Tokens at the start that fill the cache but are not counted. Default 0. */
  readonly warmupTokens?: number;
}

/**
 * Plays a trace through a cache of `slots` slots as the live cache does: at each layer visit the requested experts are
 * touched and pinned, then each missing one takes a free slot or a victim's.
 * @throws OptionError option/slots when the slots cannot hold one layer's experts.
 * @throws Error when the policy breaks its contract (victim not resident, pinned, or refused though one exists).
 */
export function replay(
  trace: RoutingTrace,
  factory: CachePolicyFactory,
  slots: number,
  options: ReplayOptions = {},
): ReplayResult {
  checkSlots(trace, slots);
  const { layers, expertsPerLayer, usedPerLayer } = trace;
  const policy = factory({ layers, expertsPerLayer, usedPerLayer, slots });
  const counter = new ReplayCounter(layers, options.warmupTokens ?? 0);
  const resident = new Uint8Array(layers * expertsPerLayer);
  const wanted = new Uint8Array(layers * expertsPerLayer);
  const pinned = (key: number): boolean => wanted[key] === 1;
  let used = 0;
  let step = 0;
  for (let token = 0; token < trace.tokens; token++) {
    for (let layer = 0; layer < layers; layer++, step++) {
      const first = layer * expertsPerLayer;
      const experts = trace.step(token, layer);
      for (const expert of experts) {
        wanted[first + expert] = 1;
        policy.touch(first + expert, step);
      }
      for (const expert of experts) {
        const key = first + expert;
        if (resident[key] === 1) {
          counter.hit(token, layer);
          continue;
        }
        const evict = used === slots;
        if (evict) {
          const victim = policy.victim(step, pinned);
          if (resident[victim] !== 1 || pinned(victim)) {
            throw new Error(
              `Policy ${policy.name} offered ${victim}, which is not an evictable resident expert.`,
            );
          }
          policy.remove(victim);
          resident[victim] = 0;
        } else used++;
        policy.insert(key, step);
        resident[key] = 1;
        counter.miss(token, layer, evict);
      }
      for (const expert of experts) wanted[first + expert] = 0;
    }
  }
  return counter.result();
}

/** Throws unless one layer's experts fit: they are needed at the same time. */
export function checkSlots(trace: RoutingTrace, slots: number): void {
  if (!Number.isInteger(slots) || slots < trace.usedPerLayer) {
    throw new OptionError(
      'option/slots',
      `${slots} expert slots cannot hold the ${trace.usedPerLayer} experts that a layer uses at once.`,
      `Give a whole number of at least ${trace.usedPerLayer}.`,
    );
  }
}

/** Adds up a replay, leaving out the warm-up. */
export class ReplayCounter {
  readonly #perLayer: CacheCounts[];

  constructor(
    layers: number,
    readonly warmupTokens: number,
  ) {
    this.#perLayer = Array.from({ length: layers }, () => ({
      requests: 0,
      hits: 0,
      misses: 0,
      evictions: 0,
    }));
  }

  hit(token: number, layer: number): void {
    if (token < this.warmupTokens) return;
    const counts = this.#perLayer[layer] as CacheCounts;
    counts.requests++;
    counts.hits++;
  }

  miss(token: number, layer: number, evicted: boolean): void {
    if (token < this.warmupTokens) return;
    const counts = this.#perLayer[layer] as CacheCounts;
    counts.requests++;
    counts.misses++;
    if (evicted) counts.evictions++;
  }

  result(): ReplayResult {
    const sum = { requests: 0, hits: 0, misses: 0, evictions: 0 };
    for (const counts of this.#perLayer) {
      sum.requests += counts.requests;
      sum.hits += counts.hits;
      sum.misses += counts.misses;
      sum.evictions += counts.evictions;
    }
    return { ...sum, perLayer: this.#perLayer };
  }
}
