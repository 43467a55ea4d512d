/** An app that generates, and what that does to its event loop and memory: `node bench-app.mjs JSON`. */
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import type { AppJob, AppReport } from './app.js';

const job = JSON.parse(process.argv[2]!) as AppJob;
const { openModel } = (await import(
  pathToFileURL(join(job.root, 'dist', 'index.js')).href
)) as typeof import('../../sdk/index.js');
const { memory, threads, contextLength } = job;
const model = await openModel(job.model, { threads, contextLength, ...(memory !== null && { memory }) });
const session = model.createSession();
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
let tokens = 0;
const begun = performance.now();
while (tokens < job.tokens) {
  // an answer may end by itself; the next one begins elsewhere
  const prompt = job.prompt.map((id) => (id + tokens) % model.description.vocabulary);
  for await (const _ of session.generate(prompt, { maxTokens: Math.min(64, job.tokens - tokens) })) tokens++;
}
const seconds = (performance.now() - begun) / 1000;
delay.disable();
const { memory: measured, slots } = await model.statistics();
const report: AppReport = {
  p99Ms: delay.percentile(99) / 1e6,
  mostMs: delay.max / 1e6,
  tokensPerSecond: tokens / seconds,
  residentBytes: measured.residentBytes,
  peakBytes: measured.peakBytes,
  slots,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
await model.close();
