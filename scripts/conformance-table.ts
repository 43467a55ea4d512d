/** Prints the README's conformance table: `node scripts/run.mjs scripts/conformance-table.ts`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Case, FAMILY_CASES, TYPE_CASES } from '../test/conformance/cases.js';
import { bits, greedy, logitsOf, openEngine, worstDifference } from '../test/engine/open-engine.js';
import { generateModel } from '../test/models/generate-model.js';
import { Random } from '../test/models/random.js';
import { LlamaPeer } from '../test/peer/llama.js';

interface Row {
  shapes: number;
  float32: number;
  types: number;
  quantised: number;
  greedy: number;
  streamed: number;
}

const CONTINUED = 64;
const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-conformance-'));
const rows = new Map<string, Row>();

async function compare(c: Case, float32: boolean): Promise<void> {
  const path = join(folder, 'model.gguf');
  const { vocabularySize } = generateModel(path, c.model);
  const random = new Random(c.name);
  const tokens = Array.from({ length: c.prompt }, () => random.uint32() % vocabularySize);
  const peer = LlamaPeer.open(path, { threads: 1, kvType: 'f32', contextLength: 256 });
  const engine = await openEngine(path, { contextLength: 256 });
  const streaming = await openEngine(path, { contextLength: 256, expertSlots: c.model.used ?? 2, lanes: 2 });

  const row = rows.get(c.model.family) ?? {
    shapes: 0,
    float32: 0,
    types: 0,
    quantised: 0,
    greedy: 0,
    streamed: 0,
  };
  rows.set(c.model.family, row);
  const resident = logitsOf(engine, tokens, c.batch);
  const difference = worstDifference(resident, peer.logits(tokens));
  if (float32) {
    row.shapes++;
    row.float32 = Math.max(row.float32, difference);
    const ours = greedy(engine, tokens, CONTINUED);
    if (ours.join() === peer.greedy(tokens, CONTINUED, []).tokens.join()) row.greedy++;
  } else {
    row.types++;
    row.quantised = Math.max(row.quantised, difference);
  }
  if (bits(logitsOf(streaming, tokens, c.batch)).join() === bits(resident).join()) row.streamed++;
  peer.close();
  engine.close();
  streaming.close();
}

try {
  for (const c of FAMILY_CASES) await compare(c, true);
  for (const c of TYPE_CASES) await compare(c, false);
} finally {
  rmSync(folder, { recursive: true });
}
console.log(
  '| family | shapes | worst difference, F32 | same 64 greedy tokens | weight types | worst difference over types | streamed = resident |',
);
console.log('|---|---|---|---|---|---|---|');
for (const [family, r] of rows) {
  const types = r.types > 0 ? `${r.types}` : '–';
  const quantised = r.types > 0 ? r.quantised.toExponential(1) : '–';
  const total = r.shapes + r.types;
  console.log(
    `| ${family} | ${r.shapes} | ${r.float32.toExponential(1)} | ${r.greedy} of ${r.shapes} | ${types} | ${quantised} | ${r.streamed} of ${total} |`,
  );
}
