import type { CachePolicy, CacheShape } from './cache-policy.js';
import { KeyList } from './key-list.js';

/**
 * Least recently used, over all layers. The textbook policy and the wrong one here: with fewer slots than one token
 * asks for, it throws away exactly what the next layers need (the token-cycle cliff). Kept to compare with.
 */
export class LruPolicy implements CachePolicy {
  readonly name = 'lru';
  readonly #residents: KeyList;

  constructor(shape: CacheShape) {
    this.#residents = new KeyList(shape.layers * shape.expertsPerLayer);
  }

  touch(key: number, _step: number): void {
    if (this.#residents.has(key)) this.#residents.push(key);
  }

  insert(key: number, _step: number): void {
    this.#residents.push(key);
  }

  remove(key: number): void {
    this.#residents.delete(key);
  }

  victim(_step: number, pinned: (key: number) => boolean): number {
    return this.#residents.oldest(pinned);
  }
}
