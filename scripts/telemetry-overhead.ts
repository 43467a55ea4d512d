/**
 * What telemetry costs: decode speed with and without a sample every second, in pairs that take turns.
 * `node scripts/run.mjs scripts/telemetry-overhead.ts MODEL [pairs] [tokens]`. Build dist/ first (npm start does).
 */
import { observeEngine } from '../device/telemetry/engine-source.js';
import { Registry } from '../device/telemetry/registry.js';
import type { Model } from '../sdk/index.js';

const [path, pairs = '5', tokens = '96'] = process.argv.slice(2);
if (path === undefined) {
  console.error('Usage: node scripts/run.mjs scripts/telemetry-overhead.ts MODEL [pairs] [tokens]');
  process.exit(2);
}
// the built library, whose engine worker lies beside it
const { openModel } = (await import(new URL('../../dist/index.js', import.meta.url).href)) as {
  openModel(path: string): Promise<Model>;
};
const model = await openModel(path);

/** Tokens per second of one answer. */
async function decode(sampling: boolean): Promise<number> {
  const registry = new Registry();
  const sample = async () => {
    observeEngine(registry, await model.statistics());
    registry.sample('sample');
  };
  const timer = sampling ? setInterval(() => void sample(), 1000) : null;
  if (sampling) await sample();
  const session = model.createSession();
  const generation = session.generate('List everything a house can do:', { maxTokens: Number(tokens) });
  await generation.text();
  await session.close();
  if (timer) clearInterval(timer);
  return generation.summary!.tokensPerSecond;
}

await decode(false); // warm
const ratios: number[] = [];
for (let i = 0; i < Number(pairs); i++) {
  // who goes first changes, so that what drifts falls on both
  const first = await decode(i % 2 === 0);
  const second = await decode(i % 2 !== 0);
  const [on, off] = i % 2 === 0 ? [first, second] : [second, first];
  ratios.push(on / off);
  console.log(`with ${on.toFixed(2)} tokens/s, without ${off.toFixed(2)}, ratio ${(on / off).toFixed(4)}`);
}
ratios.sort((a, b) => a - b);
console.log(`median ratio ${ratios[Math.floor(ratios.length / 2)]!.toFixed(4)} over ${ratios.length} pairs`);
await model.close();
