import { OptionError } from '../error.js';
import type { CachePolicyFactory } from './cache-policy.js';
import { LayerCyclePolicy } from './layer-cycle-policy.js';
import { LayerLruPolicy } from './layer-lru-policy.js';
import { LfuPolicy } from './lfu-policy.js';
import { LruPolicy } from './lru-policy.js';

/** Every cache policy by name. docs/cache-policies.md compares them; a new one is one file and one line here. */
export const CACHE_POLICIES: Readonly<Record<string, CachePolicyFactory>> = Object.freeze({
  'layer-cycle': (shape) => new LayerCyclePolicy(shape),
  'layer-lru': (shape) => new LayerLruPolicy(shape),
  lfu: (shape) => new LfuPolicy(shape),
  lru: (shape) => new LruPolicy(shape),
} satisfies Record<string, CachePolicyFactory>);

/** Reads least from flash over the measured range; see docs/cache-policies.md. */
export const DEFAULT_CACHE_POLICY = 'layer-cycle';

/**
 * The policy of a name.
 * @throws OptionError option/policy, with the names that exist.
 */
export function cachePolicy(name: string = DEFAULT_CACHE_POLICY): CachePolicyFactory {
  const factory = Object.hasOwn(CACHE_POLICIES, name) ? CACHE_POLICIES[name] : undefined;
  if (factory === undefined) {
    throw new OptionError(
      'option/policy',
      `There is no cache policy "${name}".`,
      `Choose one of ${Object.keys(CACHE_POLICIES).join(', ')}.`,
    );
  }
  return factory;
}
