import type { CachePolicy, CacheShape } from './cache-policy.js';
import { KeyList } from './key-list.js';

/**
 * Least recently used within a layer: the slots are shared out evenly, and a layer at or above its share replaces its
 * own oldest expert. Simple, and without the token-cycle cliff; knows nothing of how often an expert is used.
 */
export class LayerLruPolicy implements CachePolicy {
  readonly name = 'layer-lru';
  readonly #layers: number;
  readonly #expertsPerLayer: number;
  #share = 0;
  /** Residents of each layer, by expert number within the layer. */
  readonly #residents: KeyList[];
  #layer = 0;

  constructor(shape: CacheShape) {
    this.#layers = shape.layers;
    this.#expertsPerLayer = shape.expertsPerLayer;
    this.resize(shape.slots);
    this.#residents = Array.from({ length: shape.layers }, () => new KeyList(shape.expertsPerLayer));
  }

  resize(slots: number): void {
    this.#share = Math.floor(slots / this.#layers);
  }

  touch(key: number, _step: number): void {
    this.#layer = this.#layerOf(key);
    const list = this.#listOf(key);
    const expert = key % this.#expertsPerLayer;
    if (list.has(expert)) list.push(expert);
  }

  insert(key: number, _step: number): void {
    this.#listOf(key).push(key % this.#expertsPerLayer);
  }

  remove(key: number): void {
    this.#listOf(key).delete(key % this.#expertsPerLayer);
  }

  victim(_step: number, pinned: (key: number) => boolean): number {
    const own = this.#residents[this.#layer] as KeyList;
    if (own.size >= this.#share) {
      const key = this.#oldest(this.#layer, pinned);
      if (key >= 0) return key;
    }
    // The fullest layer pays; of equally full ones the one visited last, whose turn is farthest ahead.
    let victim = -1;
    let most = 0;
    for (let back = 1; back <= this.#layers; back++) {
      const layer = (this.#layer - back + this.#layers) % this.#layers;
      const size = (this.#residents[layer] as KeyList).size;
      if (size <= most) continue;
      const key = this.#oldest(layer, pinned);
      if (key < 0) continue;
      most = size;
      victim = key;
    }
    return victim;
  }

  /** Key of the layer's unpinned resident used longest ago, or −1. */
  #oldest(layer: number, pinned: (key: number) => boolean): number {
    const first = layer * this.#expertsPerLayer;
    const expert = (this.#residents[layer] as KeyList).oldest((candidate) => pinned(first + candidate));
    return expert < 0 ? -1 : first + expert;
  }

  #layerOf(key: number): number {
    return Math.floor(key / this.#expertsPerLayer);
  }

  #listOf(key: number): KeyList {
    return this.#residents[this.#layerOf(key)] as KeyList;
  }
}
