import type { Flash, FlashRead } from '../../firmware-bridge/flash/flash.js';
import { ReadState } from '../../firmware-bridge/flash/flash.js';
import { FlashError } from '../../firmware-bridge/flash/flash-error.js';
import { Activation, type ExpertJob, type ExpertShape, type Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import type { ModelFile } from '../model/model-file.js';
import type { Routes } from '../routing/routing-rule.js';
import type { CachePolicyFactory } from './cache-policy.js';
import { ExpertCache } from './expert-cache.js';
import { noExpertStatistics, type ExpertStatistics } from './expert-statistics.js';
import { STATE_BYTES, type Slot } from './slot.js';
import { SlotLayout } from './slot-layout.js';

/** What the stream needs to know of the model. */
export interface ExpertStreamShape {
  readonly layers: number;
  readonly experts: number;
  readonly usedExperts: number;
  readonly width: number;
  readonly hidden: number;
  readonly activation: 'relu' | 'silu';
}

interface LayerState {
  readonly layout: SlotLayout;
  readonly shape: ExpertShape;
  readonly cache: ExpertCache;
  readonly statistics: ExpertStatistics;
}

/** An expert that the current batch uses, with the tokens that chose it. */
interface Demand {
  readonly expert: number;
  readonly key: number;
  readonly tokens: number[];
  readonly targets: number[];
}

/** The layer being computed. */
interface Visit {
  readonly layer: number;
  /** Requested and pinned; in order of computation. */
  readonly ready: { demand: Demand; slot: Slot }[];
  /** Not yet requested: every slot is pinned. */
  readonly waiting: Demand[];
}

/**
 * Brings experts from flash into a bounded number of slots and computes them.
 *
 * For each layer and batch: `request` as soon as routing is known; it pins what is in memory, sends the rest to the
 * flash lanes and returns at once. `run` computes what is there and the rest as it lands. Which experts were in
 * memory, and when the others landed, never changes a bit of the result: every (token, expert) has its own output
 * row, and rows are summed in the router's order.
 */
export class ExpertStream {
  readonly #layers = new Map<number, LayerState>();
  readonly #caches: ExpertCache[] = [];
  readonly #states: Memory;
  /** CRC32C seen at the first read of pieces that came without one (GGUF): later reads must agree. */
  readonly #seen = new Map<number, number[]>();
  #visit: Visit | null = null;
  #step = 0;

  /** Called with every routing decision of a layer; for traces. */
  onRoute: ((layer: number, routes: Routes) => void) | null = null;

  /**
   * @param handles flash handles of file.files
   * @param policy chooses victims
   */
  constructor(
    private readonly kernels: Kernels,
    private readonly flash: Flash,
    private readonly file: ModelFile,
    private readonly handles: readonly number[],
    private readonly shape: ExpertStreamShape,
    policy: CachePolicyFactory,
  ) {
    const layouts = [...file.experts.values()].map((layer) => new SlotLayout(layer));
    this.#states = kernels.alloc(layouts.length * shape.experts * STATE_BYTES);
    const sizes = [...new Set(layouts.map((l) => l.bytes))];
    let index = 0;
    for (const bytes of sizes) {
      const count = layouts.filter((l) => l.bytes === bytes).length * shape.experts;
      const indices = Array.from({ length: count }, () => index++);
      this.#caches.push(
        new ExpertCache(kernels, bytes, this.#states, indices, policy, {
          layers: shape.layers,
          expertsPerLayer: shape.experts,
          usedPerLayer: shape.usedExperts,
        }),
      );
    }
    for (const layout of layouts) {
      const { gate, up, down } = layout.layer.roles;
      this.#layers.set(layout.layer.layer, {
        layout,
        cache: this.#caches[sizes.indexOf(layout.bytes)]!,
        statistics: noExpertStatistics(),
        shape: {
          width: shape.width,
          hidden: shape.hidden,
          gateType: gate.type,
          upType: up.type,
          downType: down.type,
          gateLayout: gate.layout,
          upLayout: up.layout,
          downLayout: down.layout,
          activation: shape.activation === 'relu' ? Activation.Relu : Activation.Silu,
          skip: shape.activation === 'relu',
        },
      });
    }
  }

  /** Counters by layer number. */
  get statistics(): ReadonlyMap<number, ExpertStatistics> {
    return new Map([...this.#layers].map(([layer, state]) => [layer, state.statistics]));
  }

  /** Slots now, over all sizes, and the bytes they take. */
  get slots(): { count: number; bytes: number } {
    let count = 0;
    let bytes = 0;
    for (const cache of this.#caches) {
      count += cache.slots;
      bytes += cache.slots * cache.slotBytes;
    }
    return { count, bytes };
  }

  /** Experts in memory now, of all. */
  residents(): number {
    return this.#caches.reduce((sum, cache) => sum + cache.residents().length, 0);
  }

  /**
   * Sets the number of slots per slot size (see {@link divideSlots}); between batches only. Shrinking frees memory at
   * once.
   */
  resize(slotsBySize: ReadonlyMap<number, number>): void {
    // all shrink before any grows, so the sum never exceeds the larger of the two budgets
    const wanted = this.#caches.map((cache) => ({ cache, slots: slotsBySize.get(cache.slotBytes) ?? 0 }));
    for (const { cache, slots } of wanted) if (slots < cache.slots) cache.resize(slots, this.#step);
    for (const { cache, slots } of wanted) if (slots > cache.slots) cache.resize(slots, this.#step);
  }

  /** Asks for the experts that a layer's tokens use. Returns at once; `run` must follow for the same layer. */
  request(layer: number, routes: Routes): void {
    const state = this.#layers.get(layer)!;
    this.onRoute?.(layer, routes);
    this.#step++;
    const visit: Visit = { layer, ready: [], waiting: [] };
    this.#visit = visit;
    const { statistics, cache } = state;
    for (const demand of demands(layer * this.shape.experts, this.shape.experts, routes)) {
      statistics.requests++;
      cache.touch(demand.key, this.#step);
      const slot = cache.get(demand.key);
      if (slot) {
        statistics.hits++;
        slot.pinned = true;
        visit.ready.push({ demand, slot });
      } else {
        statistics.misses++;
        visit.waiting.push(demand);
      }
    }
    this.#requestWaiting(state, visit);
  }

  /**
   * x[t] += scale * sum of the token's experts. h: float32 [tokens][width], the experts' input; y: scratch of
   * [tokens * k][width]. Throws FlashError when an expert cannot be read; the stream stays usable.
   */
  run(layer: number, routes: Routes, h: Memory, x: Memory, y: Memory, scale: number): void {
    const visit = this.#visit;
    if (!visit || visit.layer !== layer) throw new Error(`experts of layer ${layer} were not requested`);
    const state = this.#layers.get(layer)!;
    const { width } = this.shape;
    while (visit.ready.length > 0) {
      // With more experts than slots, compute half of what is there and let flash refill those slots meanwhile.
      const count = visit.waiting.length === 0 ? visit.ready.length : Math.max(1, visit.ready.length >> 1);
      const now = visit.ready.slice(0, count);
      const jobs = now.map(({ demand, slot }): ExpertJob => ({
        gate: slot.gate,
        up: slot.up,
        down: slot.down,
        ready: slot.arriving ? slot.ready : null,
        tokens: demand.tokens,
        targets: demand.targets,
      }));
      const failed = this.kernels.expertsFfn(state.shape, jobs, h, width, y, width, state.statistics);
      if (failed >= 0) {
        const { demand, slot } = now[failed]!;
        const error = this.#failure(state, demand, slot);
        this.abandon();
        throw error;
      }
      visit.ready.splice(0, count);
      for (const { demand, slot } of now) {
        if (slot.arriving) this.#landed(state, demand, slot);
        slot.pinned = false;
      }
      this.#requestWaiting(state, visit);
    }
    this.#visit = null;
    if (visit.waiting.length > 0) throw new Error('the expert cache has no slot at all');
    this.kernels.combine(y, width, routes.weights, routes.tokens, routes.k, width, scale, x, width);
  }

  /** Ends a visit that will not be run (an error elsewhere): waits for its reads, keeps what landed well. */
  abandon(): void {
    const visit = this.#visit;
    this.#visit = null;
    if (!visit) return;
    const { cache, layout } = this.#layers.get(visit.layer)!;
    for (const { slot } of visit.ready) {
      slot.pinned = false;
      if (!slot.arriving) continue;
      let good = true;
      for (let i = 0; i < layout.layer.pieces[0]!.length; i++) {
        const word = slot.states.slice(i * 4, 4);
        this.flash.cancel(word);
        if (this.flash.wait(word) !== ReadState.Landed) good = false;
      }
      slot.arriving = false;
      if (!good) cache.discard(slot);
    }
  }

  /** Frees slots and state words. */
  close(): void {
    this.abandon();
    for (const cache of this.#caches) cache.resize(0, this.#step);
    this.kernels.free(this.#states);
  }

  /** Sends reads for waiting experts as long as slots can be had. */
  #requestWaiting(state: LayerState, visit: Visit): void {
    const { cache, layout, statistics } = state;
    const reads: FlashRead[] = [];
    const before = cache.evictions;
    const known = visit.ready.length;
    while (visit.waiting.length > 0) {
      const demand = visit.waiting[0]!;
      const slot = cache.acquire(demand.key, this.#step);
      if (!slot) break;
      visit.waiting.shift();
      slot.pinned = true;
      slot.arriving = true;
      this.#place(layout, demand.expert, slot);
      const pieces = layout.layer.pieces[demand.expert]!;
      const seen = this.#seen.get(demand.key);
      layout.reads(demand.expert).forEach((read, i) => {
        reads.push({
          file: this.handles[read.file]!,
          offset: read.offset,
          length: read.length,
          destination: slot.memory.slice(read.at, read.length),
          dataOffset: read.dataOffset,
          dataLength: read.dataLength,
          crc32c: pieces[i]!.crc32c ?? seen?.[i] ?? null,
          state: slot.states.slice(i * 4, 4),
          priority: 'demand',
        });
        statistics.bytes += read.length;
      });
      visit.ready.push({ demand, slot });
    }
    statistics.evictions += cache.evictions - before;
    if (reads.length === 0) return;
    try {
      this.flash.submit(reads);
    } catch (error) {
      for (const { slot } of visit.ready.splice(known)) {
        slot.pinned = slot.arriving = false;
        cache.discard(slot);
      }
      this.abandon();
      throw error;
    }
  }

  /** Points the slot's matrices and state words at where this expert's pieces land. */
  #place(layout: SlotLayout, expert: number, slot: Slot): void {
    const { gate, up, down } = layout.layer.roles;
    slot.gate = slot.memory.slice(layout.place(expert, 'gate'), gate.length);
    slot.up = slot.memory.slice(layout.place(expert, 'up'), up.length);
    slot.down = slot.memory.slice(layout.place(expert, 'down'), down.length);
    slot.ready = [
      slot.states.slice(gate.piece * 4, 4),
      slot.states.slice(up.piece * 4, 4),
      slot.states.slice(down.piece * 4, 4),
    ];
  }

  #landed(state: LayerState, demand: Demand, slot: Slot): void {
    slot.arriving = false;
    const { layout } = state;
    const pieces = layout.layer.pieces[demand.expert]!;
    if (pieces[0]!.crc32c !== null || this.#seen.has(demand.key)) return;
    this.#seen.set(
      demand.key,
      layout
        .reads(demand.expert)
        .map((r) => this.flash.crc32c(slot.memory.slice(r.at + r.dataOffset), r.dataLength)),
    );
  }

  #failure(state: LayerState, demand: Demand, slot: Slot): Error {
    const pieces = state.layout.layer.pieces[demand.expert]!;
    for (const [i, piece] of pieces.entries()) {
      const word = this.flash.wait(slot.states.slice(i * 4, 4));
      if (word !== ReadState.Landed)
        return FlashError.fromState(
          word,
          `expert ${demand.expert} of layer ${state.layout.layer.layer}`,
          this.file.files[piece.file]!,
        );
    }
    return new Error(`expert ${demand.expert} was reported as failed but every read of it landed`);
  }
}

/** Groups a batch's routes by expert, in ascending expert order (the order on flash). */
function demands(firstKey: number, experts: number, routes: Routes): Demand[] {
  const byExpert = new Array<Demand | undefined>(experts);
  const { tokens, k, ids } = routes;
  for (let i = 0; i < tokens * k; i++) {
    const expert = ids[i]!;
    const demand = (byExpert[expert] ??= { expert, key: firstKey + expert, tokens: [], targets: [] });
    demand.tokens.push(Math.floor(i / k));
    demand.targets.push(i);
  }
  return byExpert.filter((d) => d !== undefined);
}
