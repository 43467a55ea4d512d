import type { EngineStatistics, GenerationSummary } from '../../sdk/index.js';
import type { Registry } from './registry.js';

type Result = 'end' | 'length' | 'context' | 'cancelled' | 'error';

/** What each finished request adds to the metrics. */
export class RequestSource {
  readonly #registry: Registry;
  readonly #first;
  readonly #perToken;
  readonly #duration;
  readonly #input;
  readonly #output;
  readonly #reused;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#duration = registry.histogram('gen_ai.server.request.duration');
    this.#first = registry.histogram('gen_ai.server.time_to_first_token');
    this.#perToken = registry.histogram('gen_ai.server.time_per_output_token');
    this.#input = registry.counter('moe.tokens', { 'gen_ai.token.type': 'input' });
    this.#output = registry.counter('moe.tokens', { 'gen_ai.token.type': 'output' });
    this.#reused = registry.counter('moe.tokens.reused');
  }

  /**
   * Counts a request that ended. `summary` is null when it was cancelled or failed before its end; `seconds` is the
   * whole time from the call.
   */
  ended(
    summary: GenerationSummary | null,
    seconds: number,
    result: Result = summary?.finish ?? 'error',
  ): void {
    this.#registry.counter('moe.requests', { result }).add();
    this.#duration.observe(seconds);
    if (!summary) return;
    this.#input.add(summary.promptTokens);
    this.#output.add(summary.tokens);
    this.#reused.add(summary.reusedTokens);
    if (summary.tokens > 0) this.#first.observe(summary.firstTokenMs / 1000);
    if (summary.tokens > 1 && summary.tokensPerSecond > 0)
      this.#perToken.observe(1 / summary.tokensPerSecond);
  }
}

/** Takes over the engine's own counters (Model.statistics()). Asking for them is one message to the engine's thread. */
export function observeEngine(registry: Registry, statistics: EngineStatistics): void {
  const { experts, flash, slots, memory } = statistics;
  registry.counter('moe.tokens.computed').follow(statistics.tokens);
  observeRequests(registry, 'moe.expert.requests', experts, {});
  registry.counter('moe.expert.evictions').follow(experts.evictions);
  registry.counter('moe.flash.read').follow(flash.bytes);
  registry.counter('moe.flash.operations').follow(flash.reads);
  registry.counter('moe.flash.errors', { 'error.type': 'failed' }).follow(flash.failed);
  registry.counter('moe.flash.errors', { 'error.type': 'corrupt' }).follow(flash.corrupt);
  registry.counter('moe.flash.stall').follow(experts.stallNs / 1e9);
  registry.gauge('moe.cache.slots').set(slots.count);
  registry.gauge('moe.cache.size').set(slots.bytes);
  registry.gauge('moe.cache.resident').set(slots.resident);
  registry.gauge('moe.memory.budget').set(memory.budgetBytes);
  registry.gauge('moe.memory.peak').set(memory.peakBytes);
  registry.gauge('process.memory.usage').set(memory.residentBytes);
  registry.counter('moe.activation.rows', { state: 'total' }).follow(experts.rowsTotal);
  registry.counter('moe.activation.rows', { state: 'active' }).follow(experts.rowsActive);
  for (const [number, of] of statistics.expertsByLayer) {
    const layer = { layer: String(number) };
    observeRequests(registry, 'moe.layer.expert.requests', of, layer);
    registry.counter('moe.layer.expert.evictions', layer).follow(of.evictions);
    registry.counter('moe.layer.flash.read', layer).follow(of.bytes);
    registry.counter('moe.layer.flash.stall', layer).follow(of.stallNs / 1e9);
  }
}

/** Requests by result. Late ones are misses, and counted once. */
function observeRequests(
  registry: Registry,
  name: 'moe.expert.requests' | 'moe.layer.expert.requests',
  { hits, misses, late }: EngineStatistics['experts'],
  attributes: Readonly<Record<string, string>>,
): void {
  registry.counter(name, { ...attributes, result: 'hit' }).follow(hits);
  registry.counter(name, { ...attributes, result: 'miss' }).follow(misses - late);
  registry.counter(name, { ...attributes, result: 'late' }).follow(late);
}

/** How often each expert of a layer was chosen since the model was opened, where the engine counts it. */
export function observeRouter(registry: Registry, loads: ReadonlyMap<number, readonly number[]>): void {
  for (const [layer, load] of loads) registry.list('moe.router.load', { layer: String(layer) }).value = load;
}
