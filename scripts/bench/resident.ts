import { type Bench, threadsText } from './bench.js';
import { ContestantProcess } from './contestant-process.js';
import type { Opened, RunReport } from './contestant.js';
import type { BenchModel } from './models.js';

/** Everything in memory: decode and prefill, ours beside llama.cpp with its weights rearranged for the processor. */
export async function resident(bench: Bench, model: BenchModel, threads: number): Promise<void> {
  const { quick, rounds } = bench.options;
  // the demo model's context is short
  const prompt = quick || model.options === null ? 128 : 512;
  const answer = quick ? 32 : 64;
  const on = `${model.name}, ${threadsText(threads)}`;
  const figures = {
    decode: `resident decode, ${on}`,
    prefill: `resident prefill ${prompt}, ${on}`,
    share: `share of the DRAM limit, resident decode, ${on}`,
  };
  if (!bench.wants(...Object.values(figures))) return;

  const processes = { ours: ContestantProcess.start('ours'), peer: ContestantProcess.start('peer') };
  try {
    const job = { threads, contextLength: prompt, batch: prompt };
    const opened: Opened = await processes.ours.open({
      ...job,
      model: await bench.ours(bench.models, model),
    });
    await processes.peer.open({ ...job, model: bench.models.gguf(model), repack: true });
    const tokens = bench.tokens(prompt, opened.vocabulary);
    const runs: Record<'ours' | 'peer', { decode: RunReport[]; prefill: RunReport[] }> = {
      ours: { decode: [], prefill: [] },
      peer: { decode: [], prefill: [] },
    };
    for (let round = -1; round < rounds; round++) {
      if (round >= 0 && bench.wants(figures.share)) await bench.limits.sampleMemory(threads);
      for (const who of round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const)) {
        const contestant = processes[who];
        if (bench.wants(figures.prefill)) {
          await bench.quiet();
          const report = await contestant.run({ tokens, step: null, restart: true });
          if (round >= 0) runs[who].prefill.push(report);
        }
        if (bench.wants(figures.decode, figures.share)) {
          await contestant.run({ tokens: tokens.slice(0, 2), step: 1, restart: true });
          await bench.quiet();
          const report = await contestant.run({
            tokens: tokens.slice(2, 2 + answer),
            step: 1,
            restart: false,
          });
          if (round >= 0) runs[who].decode.push(report);
        }
      }
    }

    const speed = (count: number) => (run: RunReport) => (count * 1000) / run.ms;
    const raw = { opened, runs, memory: bench.limits.report().memoryBytesPerSecond };
    if (runs.ours.decode.length > 0) {
      const ours = runs.ours.decode.map(speed(answer));
      const peer = runs.peer.decode.map(speed(answer));
      bench.add(
        {
          figure: figures.decode,
          unit: 'tok/s',
          ours,
          peer,
          goal: model.decodeGoal,
          better: 'higher',
          note: opened.engine!.isa,
        },
        raw,
      );
      const { denseBytesPerToken: dense, usedExpertBytesPerToken: experts } = opened.engine!;
      const limit = bench.limits.memory(threads);
      if (limit !== null) {
        const { rowsActive, rowsTotal } = runs.ours.decode.at(-1)!.experts!;
        bench.add(
          {
            figure: figures.share,
            unit: 'of 1',
            ours: ours.map((v) => (v * (dense + experts)) / limit),
            peer: peer.map((v) => (v * (dense + experts)) / limit),
            better: 'higher',
            note:
              `${((dense + experts) / 1e6).toFixed(0)} MB a token at ${(limit / 1e9).toFixed(1)} GB/s` +
              `; ${((100 * rowsActive) / Math.max(rowsTotal, 1)).toFixed(0)} % of gate rows active, skipped ones count as read`,
          },
          raw,
        );
      }
    }
    if (runs.ours.prefill.length > 0)
      bench.add(
        {
          figure: figures.prefill,
          unit: 'tok/s',
          ours: runs.ours.prefill.map(speed(prompt)),
          peer: runs.peer.prefill.map(speed(prompt)),
          goal: quick ? null : model.prefillGoal,
          better: 'higher',
        },
        raw,
      );
  } finally {
    await Promise.all([processes.ours.close(), processes.peer.close()]);
  }
}
