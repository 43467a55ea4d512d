import { setTimeout as sleep } from 'node:timers/promises';
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { belady } from '../../sdk/experts/belady.js';
import { decodeTrace } from '../../sdk/experts/trace-file.js';
import type { RoutingTrace } from '../../sdk/experts/trace.js';
import { MemoryCgroup } from '../../test/engine/memory-cgroup.js';
import { knownOddsHitRates } from '../known-odds.js';
import { type Bench, threadsText } from './bench.js';
import { ContestantProcess } from './contestant-process.js';
import type { Opened, OpenJob, RunReport } from './contestant.js';
import { decodeExternally } from './external-peer.js';
import { median } from './figure.js';
import type { BenchModel } from './models.js';
import { dropFromPageCache } from './page-cache.js';
import { ReadAhead } from './read-ahead.js';

/** Magic number of a tmpfs (statfs(2)): memory, no flash. */
const TMPFS = 0x01021994;

/** Goals by the device's bytes per second: decode against llama.cpp mapping its file. */
const DEVICES = [300e6, 1000e6, 2000e6, 3500e6];
const DECODE_GOALS = new Map([
  [0, [2.5, 3, 5, 6]],
  [1, [3, 4.8, 7, 7.5]],
  [2, [3, 3, 3, 3]],
]);
/** Against PowerInfer's engine, given as an external program. */
const EXTERNAL_GOALS = new Map([
  [0, [1.1, 1.15, 1.25, 1.4]],
  [1, [1.4, 1.7, 1.9, 2]],
  [2, [2, 2, 2, 2]],
]);
const PREFILL_GOAL = 5;
const SHARE_GOAL = 0.9;
const BELADY_GOAL = 1.15;
/** Two in five of the demo model's 256 experts, as `npm start` has them. */
const DEMO_SLOTS = 102;

/** One run within the budget. */
interface LimitedRun extends RunReport {
  readonly opened: Opened;
  readonly peakBytes: number;
  readonly kills: number;
  readonly trace: RoutingTrace | null;
}

interface LimitedJob {
  readonly budgetBytes: number;
  readonly open: OpenJob;
  /** Evaluated one by one before the clock starts. */
  readonly warm: number;
  readonly count: number;
  /** 1: decode. */
  readonly step: number | null;
}

/** Less memory than the model, page cache included: decode, ours beside llama.cpp mapping the same file. */
export async function limitedDecode(
  bench: Bench,
  model: BenchModel,
  skew: number,
  threads: number,
): Promise<void> {
  const { quick, rounds, readAhead } = bench.options;
  const on = `${model.name} within ${model.budgetBytes >> 20} MiB, ${threadsText(threads)}`;
  const figures = {
    decode: `limited decode, ${on}`,
    share: `share of the binding limit, limited decode, ${on}`,
    belady: `flash bytes per token vs Bélády, ${on}`,
    external: `limited decode vs the external peer, ${on}`,
  };
  if (!bench.wants(...Object.values(figures)) || !possible(bench, model)) return;

  const paths = { ours: await bench.ours(bench.flashModels, model), peer: bench.flashModels.gguf(model) };
  const setting = new ReadAhead(paths.peer);
  const before = setting.get();
  const settings = readAhead.length > 0 ? readAhead : [before];
  const warm = quick ? 8 : 32;
  const count = quick ? 16 : 48;
  const base = { threads, contextLength: 256 };
  const ours: LimitedRun[] = [];
  const peers = new Map<number | null, LimitedRun[]>(settings.map((kib) => [kib, []]));
  const flash: number[] = [];
  const resident: number[] = [];
  const external: number[] = [];
  for (let round = 0; round < rounds; round++) {
    dropFromPageCache(paths.ours);
    flash.push(await bench.limits.sampleFlash(paths.ours));
    await bench.limits.sampleMemory(threads);
    const turns = [
      async () => {
        const open = { ...base, model: paths.ours, batch: null, memory: model.budgetBytes, trace: true };
        ours.push(await run(bench, 'ours', { budgetBytes: model.budgetBytes, open, warm, count, step: 1 }));
      },
      async () => {
        if (bench.options.external === null) return;
        const { program, models } = bench.options.external;
        const file = (models ?? bench.flashModels).gguf(model);
        dropFromPageCache(file);
        await inGroup(model.budgetBytes, async (group) => {
          await bench.quiet();
          external.push(await decodeExternally(program, { model: file, threads, warm, count }, group));
        });
      },
      ...settings.map((kib) => async () => {
        if (kib !== null && kib !== before && !setting.set(kib))
          throw new Error('the read-ahead may not be set here; leave --read-ahead out');
        try {
          const open = { ...base, model: paths.peer, batch: 32, repack: false };
          peers
            .get(kib)!
            .push(await run(bench, 'peer', { budgetBytes: model.budgetBytes, open, warm, count, step: 1 }));
        } finally {
          if (before !== null && kib !== before) setting.set(before);
        }
      }),
    ];
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
    if (bench.wants(figures.share))
      resident.push(await residentSpeed(bench, paths.ours, threads, warm, count));
  }

  const speed = (r: LimitedRun) => (count * 1000) / r.ms;
  const speeds = ours.map(speed);
  const [bestKib, best] = [...peers].sort(([, a], [, b]) => median(b.map(speed)) - median(a.map(speed)))[0]!;
  const raw = {
    ours: ours.map(plain),
    peers: [...peers].map(([kib, runs]) => ({ kib, runs: runs.map(plain) })),
    flash,
    resident,
  };
  const { engine } = ours[0]!.opened;
  const perToken = median(ours.map((r) => r.experts!.bytes)) / count;
  const peerRead = best.map((r) => r.readBytes);
  const peerPerToken = peerRead.includes(null) ? null : median(peerRead as number[]) / count;
  const bandwidth = median(flash);
  const kills = [...ours, ...best].reduce((sum, r) => sum + r.kills, 0);
  bench.add(
    {
      figure: figures.decode,
      unit: 'tok/s',
      ours: speeds,
      peer: best.map(speed),
      goal: model.decodeGoal === null ? null : goalFor(DECODE_GOALS, skew, bandwidth),
      better: 'higher',
      note:
        `read a token: ${megabytes(perToken)}, peer ${megabytes(peerPerToken)}; ${engine!.slots} of ${engine!.experts} experts in slots, ` +
        `${hits(ours)} % hits; ${engine!.flash}; flash ${(bandwidth / 1e9).toFixed(2)} GB/s; peer's read-ahead ${bestKib} KiB; ` +
        `peak ${mebibytes(ours)}, peer ${mebibytes(best)} MiB${kills > 0 ? `; ${kills} KILLED` : ''}`,
    },
    raw,
  );
  if (external.length > 0)
    bench.add(
      {
        figure: figures.external,
        unit: 'tok/s',
        ours: speeds,
        peer: external,
        goal: model.decodeGoal === null ? null : goalFor(EXTERNAL_GOALS, skew, bandwidth),
        better: 'higher',
      },
      raw,
    );

  // the bound of each round, from what that round measured
  const touched = engine!.denseBytesPerToken + engine!.usedExpertBytesPerToken;
  const bounds = ours.map((r, i) => ({
    flash: r.experts!.bytes === 0 ? Infinity : (flash[i]! * count) / r.experts!.bytes,
    DRAM: (bench.limits.memory(threads) ?? Infinity) / touched,
    compute: resident[i] ?? Infinity,
  }));
  const binding = (Object.entries(bounds[0]!) as [string, number][]).sort((a, b) => a[1] - b[1])[0]!;
  bench.add(
    {
      figure: figures.share,
      unit: 'of 1',
      ours: speeds.map((v, i) => v / Math.min(...Object.values(bounds[i]!))),
      goal: model.decodeGoal === null ? null : SHARE_GOAL,
      better: 'higher',
      note: `bound by ${binding[0]} at ${binding[1].toFixed(1)} tok/s; compute: our own resident speed`,
    },
    { ...raw, bounds },
  );
  addBelady(bench, figures.belady, ours, warm, count, model.decodeGoal === null ? null : BELADY_GOAL);
}

/** As {@link limitedDecode}, a prompt at once. */
export async function limitedPrefill(bench: Bench, model: BenchModel, threads: number): Promise<void> {
  const { quick, rounds } = bench.options;
  const count = quick ? 64 : 512;
  const figure = `limited prefill ${count}, ${model.name} within ${model.budgetBytes >> 20} MiB, ${threadsText(threads)}`;
  if (!bench.wants(figure) || !possible(bench, model)) return;
  const paths = { ours: await bench.ours(bench.flashModels, model), peer: bench.flashModels.gguf(model) };
  const runs: Record<'ours' | 'peer', LimitedRun[]> = { ours: [], peer: [] };
  for (let round = 0; round < rounds; round++)
    for (const who of round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const)) {
      const { budgetBytes } = model;
      const base = { threads, contextLength: Math.max(count, 256), model: paths[who] };
      const open =
        who === 'ours'
          ? { ...base, batch: null, memory: budgetBytes }
          : { ...base, batch: count, repack: false };
      runs[who].push(await run(bench, who, { budgetBytes, open, warm: 0, count, step: null }));
    }
  const speed = (r: LimitedRun) => (count * 1000) / r.ms;
  bench.add(
    {
      figure,
      unit: 'tok/s',
      ours: runs.ours.map(speed),
      peer: runs.peer.map(speed),
      goal: quick ? null : PREFILL_GOAL,
      better: 'higher',
      note:
        `read: ${megabytes(median(runs.ours.map((r) => r.experts!.bytes)))}, ` +
        `peer ${megabytes(runs.peer.some((r) => r.readBytes === null) ? null : median(runs.peer.map((r) => r.readBytes!)))}; ` +
        `batches of ${runs.ours[0]!.opened.engine!.batch}, peer ${count}`,
    },
    { ours: runs.ours.map(plain), peer: runs.peer.map(plain) },
  );
}

/** Bytes that the cache read on the demo model's own commands, beside the optimum on the same routing. */
export async function demoBelady(bench: Bench, model: BenchModel, texts: readonly string[]): Promise<void> {
  const figure = 'flash bytes per token vs Bélády, demo model, commands with answers, slots for 2 in 5';
  if (!bench.wants(figure)) return;
  const contestant = ContestantProcess.start('ours');
  try {
    const opened = await contestant.open({
      model: await bench.ours(bench.models, model),
      threads: 1,
      contextLength: 256,
      batch: null,
      expertSlots: DEMO_SLOTS,
      trace: true,
    });
    const warm = bench.options.quick ? 100 : 200;
    const most = bench.options.quick ? 400 : 2000;
    let total = 0;
    let bytes = 0;
    let requests = 0;
    let hit = 0;
    for (const text of texts) {
      const tokens = await contestant.tokenize(text);
      if (total + tokens.length > warm + most) break;
      const { experts } = await contestant.run({ tokens, step: 1, restart: true });
      const counted = total >= warm;
      total += tokens.length;
      if (!counted) continue;
      bytes += experts!.bytes;
      requests += experts!.requests;
      hit += experts!.hits;
    }
    const { slots, usedExpertBytesPerToken: used } = opened.engine!;
    const trace = decodeTrace((await contestant.trace())!);
    const tokens = requests / (trace.layers * trace.usedPerLayer);
    const best = belady(trace, slots, { warmupTokens: Math.round(total - tokens) });
    bench.add(
      {
        figure,
        unit: 'kB',
        ours: [bytes / tokens / 1000],
        peer: [((best.misses / best.requests) * used) / 1000],
        goal: BELADY_GOAL,
        better: 'lower',
        note: `${((100 * hit) / requests).toFixed(1)} % hits, Bélády ${((100 * best.hits) / best.requests).toFixed(1)} %, ${oddsKnown(trace, slots, Math.round(total - tokens))}; ${tokens} tokens`,
      },
      { opened },
    );
  } finally {
    await contestant.close();
  }
}

function addBelady(
  bench: Bench,
  figure: string,
  runs: readonly LimitedRun[],
  warm: number,
  count: number,
  goal: number | null,
): void {
  const { engine } = runs[0]!.opened;
  const { trace } = runs[0]!;
  if (!bench.wants(figure) || trace === null || engine!.slots >= engine!.experts) return;
  const best = belady(trace, engine!.slots, { warmupTokens: warm });
  bench.add({
    figure,
    unit: 'MB',
    ours: runs.map((r) => r.experts!.bytes / count / 1e6),
    peer: [((best.misses / best.requests) * engine!.usedExpertBytesPerToken) / 1e6],
    goal,
    better: 'lower',
    note: `Bélády hits ${((100 * best.hits) / best.requests).toFixed(1)} %; ${reuse(trace)}`,
  });
}

/** What a cache could reach that knew every expert's odds (from this trace: hindsight), but not the future. */
const oddsKnown = (trace: RoutingTrace, slots: number, warm: number) =>
  `${(100 * knownOddsHitRates(trace, trace, [slots], warm)[0]!).toFixed(1)} % with the odds known`;

/** How uneven the routing is, as measured. */
function reuse(trace: RoutingTrace): string {
  let top = 0;
  let shared = 0;
  for (let layer = 0; layer < trace.layers; layer++) {
    const counts = new Array<number>(trace.expertsPerLayer).fill(0);
    let previous: readonly number[] = [];
    for (let token = 0; token < trace.tokens; token++) {
      const now = [...trace.step(token, layer)];
      for (const id of now) counts[id]!++;
      shared += now.filter((id) => previous.includes(id)).length;
      previous = now;
    }
    const busiest = counts.sort((a, b) => b - a).slice(0, trace.expertsPerLayer >> 2);
    top += busiest.reduce((a, b) => a + b, 0);
  }
  const all = trace.tokens * trace.layers * trace.usedPerLayer;
  return `busiest quarter of experts ${(top / all).toFixed(2)} of choices, shared by consecutive tokens ${(shared / all).toFixed(2)}`;
}

/** Our own speed with everything in memory, which streaming cannot pass. */
async function residentSpeed(
  bench: Bench,
  model: string,
  threads: number,
  warm: number,
  count: number,
): Promise<number> {
  const contestant = ContestantProcess.start('ours');
  try {
    const opened = await contestant.open({ model, threads, contextLength: 256, batch: 32 });
    const tokens = bench.tokens(warm + count, opened.vocabulary);
    await contestant.run({ tokens: tokens.slice(0, warm), step: 1, restart: true });
    await bench.quiet();
    const { ms } = await contestant.run({ tokens: tokens.slice(warm), step: 1, restart: false });
    return (count * 1000) / ms;
  } finally {
    await contestant.close();
  }
}

/** A fresh process in a fresh cgroup, with nothing of the model in the page cache. */
function run(bench: Bench, who: 'ours' | 'peer', job: LimitedJob): Promise<LimitedRun> {
  dropFromPageCache(job.open.model);
  return inGroup(job.budgetBytes, async (group) => {
    const contestant = ContestantProcess.start(who, group);
    try {
      const opened = await contestant.open(job.open);
      const tokens = bench.tokens(job.warm + job.count, opened.vocabulary);
      if (job.warm > 0) await contestant.run({ tokens: tokens.slice(0, job.warm), step: 1, restart: true });
      await bench.quiet();
      const report = await contestant.run({
        tokens: tokens.slice(job.warm),
        step: job.step,
        restart: job.warm === 0,
      });
      const bytes = await contestant.trace();
      const result = { ...report, opened, peakBytes: group.peakBytes(), kills: group.kills() };
      return { ...result, trace: bytes && decodeTrace(bytes) };
    } finally {
      await contestant.close();
      dropFromPageCache(job.open.model);
    }
  });
}

async function inGroup<T>(bytes: number, work: (group: MemoryCgroup) => Promise<T>): Promise<T> {
  const group = MemoryCgroup.create(bytes, `pocketmoe-bench-${process.pid}-${groups++}`);
  if (group === null) throw new Error('no memory cgroup can be made here; limited figures need root');
  try {
    return await work(group);
  } finally {
    // the group can go once its last process has been reaped
    await sleep(50);
    group.remove();
  }
}

let groups = 0;

/** False, with a word on stderr, where nothing can be limited. */
function possible(bench: Bench, model: BenchModel): boolean {
  const group = MemoryCgroup.create(model.budgetBytes, `pocketmoe-bench-${process.pid}-try`);
  group?.remove();
  if (group === null) {
    bench.say('Limited figures are left out: no memory cgroup can be made (root is needed).');
    return false;
  }
  if (statfsSync(dirname(bench.flashModels.gguf(model))).type === TMPFS) {
    bench.say(
      'Limited figures are left out: the model lies in memory (tmpfs). Give --model-dir on a device.',
    );
    return false;
  }
  return true;
}

/** The goal of the device whose bandwidth is nearest. */
function goalFor(
  table: ReadonlyMap<number, readonly number[]>,
  skew: number,
  bytesPerSecond: number,
): number | null {
  const distance = (i: number) => Math.abs(Math.log(DEVICES[i]! / bytesPerSecond));
  return table.get(skew)?.[[0, 1, 2, 3].sort((a, b) => distance(a) - distance(b))[0]!] ?? null;
}

const plain = ({ trace: _, ...rest }: LimitedRun) => rest;
const megabytes = (bytes: number | null) =>
  bytes === null ? 'not counted' : `${(bytes / 1e6).toFixed(0)} MB`;
const mebibytes = (runs: readonly LimitedRun[]) => Math.max(...runs.map((r) => r.peakBytes)) >> 20;
const hits = (runs: readonly LimitedRun[]) =>
  median(runs.map((r) => (100 * r.experts!.hits) / r.experts!.requests)).toFixed(0);
