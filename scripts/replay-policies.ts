/**
 * Replays every cache policy on routing traces, beside Bélády's optimum, and prints Markdown tables.
 *
 *   node scripts/run.mjs scripts/replay-policies.ts [TRACE …]
 *
 * Without arguments: the recorded trace of the demo model and all synthetic presets (seed 7, 800 tokens). The first
 * 200 tokens fill the cache and are not counted.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { belady } from '../sdk/experts/belady.js';
import { CACHE_POLICIES } from '../sdk/experts/policies.js';
import { replay } from '../sdk/experts/replay.js';
import { SYNTHETIC_PRESETS, SyntheticRouter } from '../sdk/experts/synthetic-trace.js';
import { decodeTrace } from '../sdk/experts/trace-file.js';
import type { RoutingTrace } from '../sdk/experts/trace.js';
import { knownOddsHitRates } from './known-odds.js';

const SEED = 7;
const TOKENS = 800;
const WARMUP = 200;
/** The odds of a synthetic router are counted on this many further tokens. */
const ODDS_TOKENS = 4000;
const SHARES = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

const files = process.argv.slice(2);
for (const file of files.length > 0 ? files : ['test/experts/demo-commands.trace']) {
  const trace = decodeTrace(readFileSync(file));
  report(basename(file), trace, trace);
}
if (files.length === 0) {
  for (const [name, preset] of Object.entries(SYNTHETIC_PRESETS)) {
    const router = new SyntheticRouter({ ...preset, seed: SEED });
    const trace = router.trace(TOKENS);
    report(name, trace, preset.topicTokens === undefined ? router.trace(ODDS_TOKENS) : undefined);
  }
}

/** @param learnt trace that the odds are counted on; left out where they change. */
function report(name: string, trace: RoutingTrace, learnt: RoutingTrace | undefined): void {
  const all = trace.layers * trace.expertsPerLayer;
  const { topQuarter, overlap } = habits(trace);
  const demand = (trace.layers * trace.usedPerLayer) / all;
  console.log(
    `\n### ${name}\n\n${trace.tokens} tokens, ${trace.layers} layers × ${trace.expertsPerLayer} experts, ` +
      `${trace.usedPerLayer} used; one token's demand is ${demand.toFixed(3)} of all experts. ` +
      `Busiest quarter of a layer's experts: ${topQuarter.toFixed(2)} of the choices; ` +
      `shared by consecutive tokens: ${overlap.toFixed(2)}.\n`,
  );
  const policies = Object.entries(CACHE_POLICIES);
  console.log(`| slots | Bélády | odds known | ${policies.map(([policy]) => policy).join(' | ')} |`);
  console.log(`|${'---:|'.repeat(policies.length + 3)}`);
  const slotCounts = SHARES.map((share) => Math.max(Math.round(share * all), trace.usedPerLayer + 1));
  const known = learnt && knownOddsHitRates(learnt, trace, slotCounts, WARMUP);
  slotCounts.forEach((slots, i) => {
    const best = belady(trace, slots, { warmupTokens: WARMUP });
    const cell = (misses: number): string => {
      const hits = (100 * (1 - misses / best.requests)).toFixed(1);
      return best.misses === 0 ? hits : `${hits} (${(misses / best.misses).toFixed(2)})`;
    };
    const row = [
      SHARES[i]!.toFixed(2),
      (100 * (best.hits / best.requests)).toFixed(1),
      known ? cell((1 - known[i]!) * best.requests) : '–',
      ...policies.map(([, factory]) => cell(replay(trace, factory, slots, { warmupTokens: WARMUP }).misses)),
    ];
    console.log(`| ${row.join(' | ')} |`);
  });
}

function habits(trace: RoutingTrace): { topQuarter: number; overlap: number } {
  let top = 0;
  let shared = 0;
  let requests = 0;
  for (let layer = 0; layer < trace.layers; layer++) {
    const counts = new Array<number>(trace.expertsPerLayer).fill(0);
    let before = new Set<number>();
    for (let token = 0; token < trace.tokens; token++) {
      const now = new Set(trace.step(token, layer));
      for (const expert of now) {
        counts[expert]!++;
        if (before.has(expert)) shared++;
      }
      requests += now.size;
      before = now;
    }
    counts.sort((a, b) => b - a);
    for (const count of counts.slice(0, trace.expertsPerLayer >> 2)) top += count;
  }
  return { topQuarter: top / requests, overlap: shared / requests };
}
