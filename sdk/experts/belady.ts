import { KeyHeap } from './key-heap.js';
import { checkSlots, ReplayCounter, type ReplayOptions, type ReplayResult } from './replay.js';
import type { RoutingTrace } from './trace.js';

/**
 * Bélády's optimum: the fewest misses that any cache with these slots can have on this trace, found by knowing the
 * future. A layer's experts are needed together, so none of them gives way to another; else the expert used farthest
 * ahead does. No online policy can be better, and none can be as good in general.
 * @throws OptionError option/slots when the slots cannot hold one layer's experts.
 */
export function belady(trace: RoutingTrace, slots: number, options: ReplayOptions = {}): ReplayResult {
  checkSlots(trace, slots);
  const { layers, expertsPerLayer, usedPerLayer, ids } = trace;
  const keyCount = layers * expertsPerLayer;
  const steps = trace.tokens * layers;
  const nextUse = nextUses(trace);
  const counter = new ReplayCounter(layers, options.warmupTokens ?? 0);
  // Residents ranked by minus the step of their next use: the farthest comes first.
  const residents = new KeyHeap(keyCount);
  const nothing = (): boolean => false;
  for (let step = 0; step < steps; step++) {
    const token = Math.floor(step / layers);
    const layer = step % layers;
    const first = layer * expertsPerLayer;
    const start = step * usedPerLayer;
    const count = trace.step(token, layer).length;
    // The requested ones leave the heap while victims are chosen, which pins them.
    let kept = 0;
    for (let i = start; i < start + count; i++) {
      const key = first + (ids[i] as number);
      if (!residents.has(key)) continue;
      counter.hit(token, layer);
      residents.delete(key);
      kept++;
    }
    for (let missing = count - kept; missing > 0; missing--) {
      const evict = residents.size + kept === slots;
      if (evict) residents.delete(residents.lowest(nothing));
      counter.miss(token, layer, evict);
      kept++;
    }
    for (let i = start; i < start + count; i++)
      residents.set(first + (ids[i] as number), -(nextUse[i] as number));
  }
  return counter.result();
}

/** For every id of the trace, the step at which the same expert is used next; Infinity when it never is. */
function nextUses(trace: RoutingTrace): Float64Array {
  const { layers, expertsPerLayer, usedPerLayer, ids } = trace;
  const next = new Float64Array(ids.length);
  const upcoming = new Float64Array(layers * expertsPerLayer).fill(Infinity);
  for (let step = trace.tokens * layers - 1; step >= 0; step--) {
    const layer = step % layers;
    const start = step * usedPerLayer;
    const count = trace.step(Math.floor(step / layers), layer).length;
    for (let i = start; i < start + count; i++) {
      const key = layer * expertsPerLayer + (ids[i] as number);
      next[i] = upcoming[key] as number;
      upcoming[key] = step;
    }
  }
  return next;
}
