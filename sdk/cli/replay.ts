import type { Command } from 'commander';
import { belady, CACHE_POLICIES, decodeTrace, replay, type RoutingTrace } from '../index.js';
import { whole } from './arguments.js';
import { readInputBytes } from './input-file.js';
import type { Terminal } from './terminal.js';

/** Shares of all experts that get a slot, where --slots says nothing. */
const SHARES = [1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4];
const OPTIMUM = 'optimum';

export function describe(command: Command): void {
  command
    .argument('<trace>', 'recorded with `pocketmoe run … --trace FILE`')
    .option('--slots <n>', 'expert slots (default: several shares of all experts)', whole(1))
    .option('--warmup <tokens>', 'tokens at the start that fill the cache and are not counted', whole(0), 0)
    .addHelpText(
      'after',
      '\nThe optimum (Belady) knows the future: no policy can be better.\n\nExample:\n  pocketmoe replay trace.pmtr --slots 96\n',
    );
}

export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [path] = args as [string];
  const trace = decodeTrace(await readInputBytes(path));
  const { tokens, layers, expertsPerLayer, usedPerLayer } = trace;
  const slots = flags['slots'] === undefined ? defaultSlots(trace) : [flags['slots'] as number];
  const options = { warmupTokens: flags['warmup'] as number };
  const results: ({ policy: string; slots: number } & ReturnType<typeof counts>)[] = [];
  for (const count of slots) {
    for (const [policy, factory] of Object.entries(CACHE_POLICIES))
      results.push({ policy, slots: count, ...counts(replay(trace, factory, count, options)) });
    results.push({ policy: OPTIMUM, slots: count, ...counts(belady(trace, count, options)) });
    terminal.signal.throwIfAborted();
  }
  const percent = (hits: number, requests: number) =>
    `${((100 * hits) / Math.max(1, requests)).toFixed(1)} %`;
  terminal.result({ tokens, layers, expertsPerLayer, usedPerLayer, results }, [
    `${tokens} tokens, ${layers} layers of ${expertsPerLayer} experts, ${usedPerLayer} used. Hits:`,
    `${'slots'.padEnd(14)}${slots.map((count) => String(count).padStart(9)).join('')}`,
    ...[...Object.keys(CACHE_POLICIES), OPTIMUM].map(
      (policy) =>
        policy.padEnd(14) +
        results
          .filter((result) => result.policy === policy)
          .map(({ hits, requests }) => percent(hits, requests).padStart(9))
          .join(''),
    ),
  ]);
  return 0;
}

function defaultSlots({ layers, expertsPerLayer, usedPerLayer }: RoutingTrace): number[] {
  const all = SHARES.map((share) => Math.max(usedPerLayer, Math.round(layers * expertsPerLayer * share)));
  return [...new Set(all)];
}

const counts = ({ requests, hits, misses, evictions }: ReturnType<typeof replay>) => ({
  requests,
  hits,
  misses,
  evictions,
});
