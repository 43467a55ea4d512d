import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { plan } from '../../sdk/runtime/plan.js';
import { type Bench, threadsText } from './bench.js';
import { type BenchModel, DEMO } from './models.js';

/** What an app process does, see app-process.ts. */
export interface AppJob {
  readonly root: string;
  readonly model: string;
  readonly threads: number;
  readonly memory: number | null;
  readonly contextLength: number;
  readonly prompt: readonly number[];
  readonly tokens: number;
}

export interface AppReport {
  readonly p99Ms: number;
  readonly mostMs: number;
  readonly tokensPerSecond: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly slots: { count: number; bytes: number; resident: number };
}

const CONTEXT = 128;
const DELAY_GOAL_MS = 5;
const MEMORY_GOAL_MIB = 64;

/** Event-loop delay while a model streams within a budget, and what the process takes beyond its weights. */
export async function app(bench: Bench, model: BenchModel): Promise<void> {
  const threads = Math.max(...bench.options.threads);
  const demo = model === DEMO;
  const where = demo ? 'demo model, resident' : `${model.name} within ${model.budgetBytes >> 20} MiB`;
  const figures = {
    delay: `event-loop delay p99 while generating, ${where}, ${threadsText(threads)}`,
    memory: `resident memory beyond weights, KV and slots, ${where}`,
  };
  if (!bench.wants(...Object.values(figures))) return;
  const path = await bench.ours(bench.flashModels, model);
  const memory = demo ? null : model.budgetBytes;
  const { memory: parts } = await plan(path, {
    threads,
    contextLength: CONTEXT,
    ...(memory !== null && { memory }),
  });
  const tokens = bench.options.quick ? 48 : demo ? 512 : 128;
  const job: AppJob = {
    root: bench.options.root,
    model: path,
    threads,
    memory,
    contextLength: CONTEXT,
    prompt: bench.tokens(16, 4000),
    tokens,
  };
  const reports: AppReport[] = [];
  for (let round = 0; round < bench.options.rounds; round++) {
    await bench.quiet();
    const script = new URL('bench-app.mjs', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(job)]);
    reports.push(JSON.parse(stdout) as AppReport);
  }
  const raw = { job, reports, parts };
  bench.add(
    {
      figure: figures.delay,
      unit: 'ms',
      ours: reports.map((r) => r.p99Ms),
      goal: DELAY_GOAL_MS,
      better: 'lower',
      note: `most ${Math.max(...reports.map((r) => r.mostMs)).toFixed(1)} ms; the sampling interval of 1 ms is included`,
    },
    raw,
  );
  // slots that no expert has landed in yet take no memory
  const used = ({ slots }: AppReport) => (slots.bytes / Math.max(slots.count, 1)) * slots.resident;
  bench.add(
    {
      figure: figures.memory,
      unit: 'MiB',
      ours: reports.map((r) => (r.residentBytes - parts.denseBytes - parts.kvBytes - used(r)) / 2 ** 20),
      goal: MEMORY_GOAL_MIB,
      better: 'lower',
      note:
        `Node, tokenizer and activations (${(parts.activationBytes / 2 ** 20).toFixed(0)} MiB planned) counted; ` +
        `peak ${Math.max(...reports.map((r) => r.peakBytes)) >> 20} MiB`,
    },
    raw,
  );
}
