/** Our engine in a process of its own, started by the benchmark; see contestant.ts. */
import { encodeTrace } from '../../sdk/experts/trace-file.js';
import { TraceRecorder } from '../../sdk/experts/trace-recorder.js';
import { Engine } from '../../sdk/runtime/engine.js';
import { resolveOptions } from '../../sdk/runtime/engine-options.js';
import type { KvCache } from '../../sdk/runtime/kv-cache.js';
import { openTokenizer } from '../../sdk/tokenizer/open-tokenizer.js';
import { rowBytes } from '../../kernels/weight-type.js';
import {
  type Contestant,
  type OpenJob,
  type Opened,
  type RunJob,
  type RunReport,
  serve,
  timed,
} from './contestant.js';

class EngineContestant implements Contestant {
  #engine!: Engine;
  #kv!: KvCache;
  #recorder: TraceRecorder | null = null;

  async open(job: OpenJob): Promise<Opened> {
    const begun = performance.now();
    const engine = await Engine.open(
      job.model,
      resolveOptions({
        threads: job.threads,
        contextLength: job.contextLength,
        kv: 'f16',
        ...(job.batch !== null && { batch: job.batch }),
        ...(job.memory !== undefined && { memory: job.memory }),
        ...(job.expertSlots !== undefined && { expertSlots: job.expertSlots }),
      }),
    );
    this.#engine = engine;
    this.#kv = engine.createKv();
    const { shape } = engine;
    if (job.trace) {
      const recorder = new TraceRecorder({
        layers: shape.layers,
        expertsPerLayer: shape.experts,
        usedPerLayer: shape.usedExperts,
      });
      this.#recorder = recorder;
      engine.experts.onRoute = (layer, routes) => {
        if (routes.tokens === 1) recorder.record(layer, routes.ids.subarray(0, routes.k));
      };
    }
    return { ms: performance.now() - begun, vocabulary: shape.vocabulary, engine: describe(engine) };
  }

  run(job: RunJob): RunReport {
    const engine = this.#engine;
    if (job.restart) this.#kv.length = 0;
    const before = engine.statistics().experts;
    const time = timed(job, engine.batch, (tokens, last) => {
      // llama.cpp gives the logits of a batch's last token too
      engine.forward(this.#kv, tokens, last || tokens.length === 1 ? 'last' : 'none', () => {});
    });
    const after = engine.statistics().experts;
    return {
      ...time,
      experts: {
        bytes: after.bytes - before.bytes,
        requests: after.requests - before.requests,
        hits: after.hits - before.hits,
        stallMs: (after.stallNs - before.stallNs) / 1e6,
        rowsTotal: after.rowsTotal - before.rowsTotal,
        rowsActive: after.rowsActive - before.rowsActive,
      },
    };
  }

  trace(): Uint8Array | null {
    return this.#recorder && encodeTrace(this.#recorder.trace());
  }

  tokenize(text: string): readonly number[] {
    return openTokenizer(this.#engine.file.metadata, this.#engine.file.path).encode(text);
  }
}

function describe(engine: Engine): NonNullable<Opened['engine']> {
  const { file, shape, flashSetting } = engine;
  let dense = 0;
  for (const { length } of file.tensors.values()) dense += length;
  const embedding = file.tensors.get('token_embd.weight')!;
  // a model that ties its head to the embedding goes through all of it
  if (file.tensors.has('output.weight')) dense += rowBytes(embedding.type, shape.width) - embedding.length;
  let expertBytes = 0;
  for (const { roles } of file.experts.values())
    expertBytes += roles.gate.length + roles.up.length + roles.down.length;
  return {
    isa: engine.kernels.isa,
    flash: `${flashSetting.backend}, ${flashSetting.direct ? 'direct' : 'buffered'}, ${flashSetting.lanes} lanes`,
    layers: shape.layers,
    slots: engine.experts.slots.count,
    experts: file.experts.size * shape.experts,
    expertBytes: expertBytes / file.experts.size,
    denseBytesPerToken: dense,
    usedExpertBytesPerToken: expertBytes * shape.usedExperts,
    batch: engine.batch,
  };
}

serve(new EngineContestant());
