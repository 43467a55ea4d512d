import type { RoutingTrace } from '../sdk/experts/trace.js';

/**
 * Hit rates of a cache that is told the odds: how often each expert is used after a token that used it and after one
 * that did not, taken from `learnt`. It holds, token by token, the experts with the best odds, at no cost for changing
 * them. With independent or one-token-memory routing no online policy can do better on average, whatever it learns; the
 * rest of the way to Bélády is knowing what the dice will show.
 * @param slotCounts numbers of slots to rate
 * @returns hit rate for each of them
 */
export function knownOddsHitRates(
  learnt: RoutingTrace,
  trace: RoutingTrace,
  slotCounts: readonly number[],
  warmupTokens: number,
): number[] {
  const keyCount = trace.layers * trace.expertsPerLayer;
  const seen = [new Float64Array(keyCount), new Float64Array(keyCount)] as const;
  const used = [new Float64Array(keyCount), new Float64Array(keyCount)] as const;
  forEachPair(learnt, (_token, before, now) => {
    for (let key = 0; key < keyCount; key++) {
      const state = before[key] === 1 ? 1 : 0;
      seen[state][key]!++;
      used[state][key]! += now[key]!;
    }
  });
  const odds = [0, 1].map((state) =>
    used[state as 0 | 1].map((n, key) => n / Math.max(1, seen[state as 0 | 1][key]!)),
  );
  const hits = slotCounts.map(() => 0);
  let requests = 0;
  const keys = new Uint32Array(keyCount);
  forEachPair(trace, (token, before, now) => {
    if (token < warmupTokens) return;
    for (let key = 0; key < keyCount; key++) keys[key] = key;
    keys.sort((a, b) => odds[before[b]!]![b]! - odds[before[a]!]![a]!);
    let sum = 0;
    const sums = Array.from(keys, (key) => (sum += now[key]!));
    slotCounts.forEach((slots, i) => (hits[i]! += slots > 0 ? sums[Math.min(slots, keyCount) - 1]! : 0));
    requests += sum;
  });
  return hits.map((n) => n / requests);
}

/** Calls back with what each token used, as 0 or 1 by key, and what the token before it used. */
function forEachPair(
  trace: RoutingTrace,
  visit: (token: number, before: Uint8Array, now: Uint8Array) => void,
): void {
  const keyCount = trace.layers * trace.expertsPerLayer;
  let before = new Uint8Array(keyCount);
  let now = new Uint8Array(keyCount);
  for (let token = 0; token < trace.tokens; token++) {
    [before, now] = [now, before];
    now.fill(0);
    for (let layer = 0; layer < trace.layers; layer++) {
      for (const expert of trace.step(token, layer)) now[layer * trace.expertsPerLayer + expert] = 1;
    }
    if (token > 0) visit(token, before, now);
  }
}
