import type { Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import type { CachePolicy, CachePolicyFactory, CacheShape } from './cache-policy.js';
import { Slot } from './slot.js';

/**
 * Slots of one size and the experts in them, bounded: the number of slots is the bound. Which expert leaves is the
 * policy's choice; a pinned one never does.
 */
export class ExpertCache {
  readonly #slots: Slot[] = [];
  readonly #free: Slot[] = [];
  readonly #byKey = new Map<number, Slot>();
  readonly #freeIndices: number[];
  readonly #policy: CachePolicy;
  #evictions = 0;

  /**
   * @param states table of state words, shared by caches
   * @param indices numbers in that table this cache may use: its slots at most
   */
  constructor(
    private readonly kernels: Kernels,
    readonly slotBytes: number,
    private readonly states: Memory,
    indices: readonly number[],
    factory: CachePolicyFactory,
    shape: Omit<CacheShape, 'slots'>,
  ) {
    this.#freeIndices = [...indices].reverse();
    this.#policy = factory({ ...shape, slots: 0 });
  }

  get slots(): number {
    return this.#slots.length;
  }

  /** Experts evicted since the beginning. */
  get evictions(): number {
    return this.#evictions;
  }

  get(key: number): Slot | undefined {
    return this.#byKey.get(key);
  }

  /** Tells the policy that the expert is used now. */
  touch(key: number, step: number): void {
    this.#policy.touch(key, step);
  }

  /** A slot for the expert: a free one, or a victim's. Undefined when every slot is pinned. */
  acquire(key: number, step: number): Slot | undefined {
    let slot = this.#free.pop();
    if (!slot) {
      const victim = this.#policy.victim(step, (k) => this.#byKey.get(k)!.pinned);
      if (victim < 0) return undefined;
      slot = this.#byKey.get(victim)!;
      this.#detach(slot);
      this.#evictions++;
    }
    slot.key = key;
    this.#byKey.set(key, slot);
    this.#policy.insert(key, step);
    return slot;
  }

  /** Forgets the expert in this slot (its data is not good); the slot is free again. */
  discard(slot: Slot): void {
    this.#detach(slot);
    this.#free.push(slot);
  }

  /**
   * Grows or shrinks to `target` slots; only between layers, when nothing is pinned or arriving. Memory of removed
   * slots goes back to the system at once. Returns the number of slots, less than `target` when memory ran out.
   */
  resize(target: number, step: number): number {
    while (this.#slots.length > target) {
      if (this.#free.length === 0) {
        const victim = this.#policy.victim(step, () => false);
        this.discard(this.#byKey.get(victim)!);
        this.#evictions++;
      }
      const slot = this.#free.pop()!;
      this.#slots.splice(this.#slots.indexOf(slot), 1);
      this.#freeIndices.push(slot.index);
      this.kernels.free(slot.memory);
    }
    while (this.#slots.length < target && this.#freeIndices.length > 0) {
      const slot = Slot.allocate(this.kernels, this.slotBytes, this.states, this.#freeIndices.pop()!);
      this.#slots.push(slot);
      this.#free.push(slot);
    }
    this.#policy.resize?.(this.#slots.length);
    return this.#slots.length;
  }

  /** Keys of the experts in memory. */
  residents(): number[] {
    return [...this.#byKey.keys()];
  }

  #detach(slot: Slot): void {
    this.#byKey.delete(slot.key);
    this.#policy.remove(slot.key);
    slot.key = -1;
  }
}
