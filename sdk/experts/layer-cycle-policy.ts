import type { CachePolicy, CacheShape } from './cache-policy.js';
import { ReuseOdds } from './reuse-odds.js';

/** Weight of one visit in an expert's rate of use; older visits fade with it. */
const FADING = 1 / 128;

/** A layer whose worst resident has to be looked for again. */
const UNKNOWN = -2;

/**
 * Made for the layer cycle. Layers come round in a fixed order, so an expert can be used next when its layer's turn
 * comes, `distance` visits ahead, and with odds p then, else a whole cycle later, and so on: on average
 * distance + layers × (1/p − 1) visits ahead. The expert farthest ahead gives up its slot; p is learnt by
 * {@link ReuseOdds}. With flat routing all p are equal, the layer just visited pays, and every layer keeps what it has,
 * so the hit rate is the cached share down to one layer's experts: no token-cycle cliff.
 *
 * An expert's odds change only when its layer is visited, so each layer's worst resident is found once and kept. A
 * victim costs a look at every layer and at the experts of the layers that changed: O(layers + expertsPerLayer).
 */
export class LayerCyclePolicy implements CachePolicy {
  readonly name = 'layer-cycle';
  readonly #layers: number;
  readonly #expertsPerLayer: number;
  readonly #reuse: ReuseOdds;
  readonly #resident: Uint8Array;
  /** By key: decayed share of its layer's visits that used it. */
  readonly #rates: Float64Array;
  /** By key: its layer's visit that used it last. */
  readonly #lastUse: Float64Array;
  /** By key: odds of use at the next visit of its layer. */
  readonly #odds: Float64Array;
  /** By key: the cell of #reuse that its rate and age belong to. */
  readonly #cells: Uint8Array;
  /** By layer: visits so far. */
  readonly #visits: Float64Array;
  /** By layer: the unpinned resident with the least odds, −1 for none; UNKNOWN after a change. */
  readonly #worst: Int32Array;
  /** The visit under way: its step, layer, and which of the layer's experts were asked for. */
  #step = -1;
  #layer = -1;
  readonly #wanted: Uint8Array;
  /** By expert of the layer under way: odds if this visit does not use it. Filled for the first victim. */
  readonly #oddsIfUnused: Float64Array;
  #oddsIfUnusedKnown = false;
  #examined = 0;

  constructor(shape: CacheShape) {
    const { layers, expertsPerLayer, usedPerLayer } = shape;
    const keyCount = layers * expertsPerLayer;
    const meanRate = usedPerLayer / expertsPerLayer;
    this.#layers = layers;
    this.#expertsPerLayer = expertsPerLayer;
    this.#reuse = new ReuseOdds(meanRate);
    const neverUsed = Math.ceil(1 / meanRate);
    const cell = this.#reuse.cell(neverUsed, meanRate);
    this.#resident = new Uint8Array(keyCount);
    this.#rates = new Float64Array(keyCount).fill(meanRate);
    this.#lastUse = new Float64Array(keyCount).fill(-neverUsed);
    this.#odds = new Float64Array(keyCount).fill(this.#reuse.odds(cell, meanRate));
    this.#cells = new Uint8Array(keyCount).fill(cell);
    this.#visits = new Float64Array(layers);
    this.#worst = new Int32Array(layers).fill(UNKNOWN);
    this.#wanted = new Uint8Array(expertsPerLayer);
    this.#oddsIfUnused = new Float64Array(expertsPerLayer);
  }

  /** Layers and experts looked at so far, the cost of every choice; tests bound it. */
  get examined(): number {
    return this.#examined;
  }

  touch(key: number, step: number): void {
    const layer = Math.floor(key / this.#expertsPerLayer);
    if (step !== this.#step || layer !== this.#layer) {
      this.#endVisit();
      this.#step = step;
      this.#layer = layer;
    }
    this.#wanted[key - layer * this.#expertsPerLayer] = 1;
  }

  insert(key: number, _step: number): void {
    const layer = Math.floor(key / this.#expertsPerLayer);
    this.#resident[key] = 1;
    this.#worst[layer] = UNKNOWN;
    // Came in for the visit under way, so it is no candidate even if its pin goes before the visit ends.
    if (layer === this.#layer) this.#oddsIfUnused[key - layer * this.#expertsPerLayer] = 1;
  }

  remove(key: number): void {
    this.#resident[key] = 0;
    this.#worst[Math.floor(key / this.#expertsPerLayer)] = UNKNOWN;
  }

  victim(_step: number, pinned: (key: number) => boolean): number {
    let victim = -1;
    let farthest = -Infinity;
    const here = Math.max(this.#layer, 0);
    // From the layer under way, whose next turn is farthest, to the layer that comes next; the first of equals wins.
    for (let distance = this.#layers; distance > 0; distance--) {
      const layer = (here + distance) % this.#layers;
      const key = this.#worstOf(layer, pinned);
      this.#examined++;
      if (key < 0) continue;
      const odds =
        layer === this.#layer
          ? (this.#oddsIfUnused[key - layer * this.#expertsPerLayer] as number)
          : (this.#odds[key] as number);
      const ahead = distance + this.#layers * (1 / odds - 1);
      if (ahead <= farthest) continue;
      farthest = ahead;
      victim = key;
    }
    return victim;
  }

  /** The layer's unpinned resident with the least odds, or −1. */
  #worstOf(layer: number, pinned: (key: number) => boolean): number {
    const first = layer * this.#expertsPerLayer;
    if (layer === this.#layer) {
      // What this visit did not ask for has just become less likely, and its pins are about to go: keep nothing.
      this.#fillOddsIfUnused();
      return this.#scan(first, this.#oddsIfUnused, 0, pinned);
    }
    let worst = this.#worst[layer] as number;
    if (worst === UNKNOWN) {
      worst = this.#scan(first, this.#odds, first, nothing);
      this.#worst[layer] = worst;
    }
    return worst >= 0 && pinned(worst) ? this.#scan(first, this.#odds, first, pinned) : worst;
  }

  /** Least of a layer's odds, which start at `odds[offset]`, among its unpinned residents. */
  #scan(first: number, odds: Float64Array, offset: number, pinned: (key: number) => boolean): number {
    this.#examined += this.#expertsPerLayer;
    let worst = -1;
    let least = Infinity;
    for (let expert = 0; expert < this.#expertsPerLayer; expert++) {
      const value = odds[offset + expert] as number;
      if (value >= least || this.#resident[first + expert] === 0 || pinned(first + expert)) continue;
      least = value;
      worst = first + expert;
    }
    return worst;
  }

  #fillOddsIfUnused(): void {
    if (this.#oddsIfUnusedKnown) return;
    this.#oddsIfUnusedKnown = true;
    this.#examined += this.#expertsPerLayer;
    const visit = this.#visits[this.#layer] as number;
    const keep = 1 - fading(visit);
    const first = this.#layer * this.#expertsPerLayer;
    for (let expert = 0; expert < this.#expertsPerLayer; expert++) {
      if (this.#resident[first + expert] === 0) continue;
      if (this.#wanted[expert] === 1) {
        this.#oddsIfUnused[expert] = 1;
        continue;
      }
      const rate = (this.#rates[first + expert] as number) * keep;
      const cell = this.#reuse.cell(visit - (this.#lastUse[first + expert] as number), rate);
      this.#oddsIfUnused[expert] = this.#reuse.odds(cell, rate);
    }
  }

  /** Learns from the visit under way: which experts were asked for and which were not. */
  #endVisit(): void {
    const layer = this.#layer;
    if (layer < 0) return;
    const visit = this.#visits[layer] as number;
    const weight = fading(visit);
    const first = layer * this.#expertsPerLayer;
    this.#examined += this.#expertsPerLayer;
    for (let expert = 0; expert < this.#expertsPerLayer; expert++) {
      const key = first + expert;
      const used = this.#wanted[expert] as number;
      this.#reuse.learn(this.#cells[key] as number, used === 1);
      const rate = (this.#rates[key] as number) + weight * (used - (this.#rates[key] as number));
      if (used === 1) this.#lastUse[key] = visit;
      const cell = this.#reuse.cell(visit - (this.#lastUse[key] as number), rate);
      this.#rates[key] = rate;
      this.#cells[key] = cell;
      this.#odds[key] = this.#reuse.odds(cell, rate);
    }
    this.#wanted.fill(0);
    this.#visits[layer] = visit + 1;
    this.#worst[layer] = UNKNOWN;
    this.#oddsIfUnusedKnown = false;
  }
}

function nothing(): boolean {
  return false;
}

/** Weight of a layer's visit: an even mean over the first ones, which start from the mean rate; fading later. */
function fading(visit: number): number {
  return Math.max(1 / (visit + 8), FADING);
}
