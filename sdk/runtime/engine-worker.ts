import { parentPort, workerData } from 'node:worker_threads';
import { OptionError, reportError } from '../error.js';
import { DEFAULT_CACHE_POLICY } from '../experts/policies.js';
import { encodeTrace } from '../experts/trace-file.js';
import { TraceRecorder } from '../experts/trace-recorder.js';
import { ChatTemplate } from '../tokenizer/chat-template.js';
import { openTokenizer } from '../tokenizer/open-tokenizer.js';
import { Engine } from './engine.js';
import { resolveOptions } from './engine-options.js';
import { Evaluator } from './evaluator.js';
import type { Answer, ModelDescription, Prompt, Request, WorkerData } from './protocol.js';
import { Generator, Sequence } from './sequence.js';

/**
 * The thread that computes. Requests arrive as messages; work in progress advances in turns, one batch or one token
 * each, so several sessions share the model fairly and messages are seen between turns.
 */
const port = parentPort!;
const { path, options } = workerData as WorkerData;
const send = (answer: Answer, transfer: ArrayBuffer[] = []) => port.postMessage(answer, transfer);

function failure(error: unknown) {
  const smallestBytes = (error as { smallestBytes?: number }).smallestBytes;
  return { ...reportError(error), ...(smallestBytes !== undefined && { smallestBytes }) };
}

async function open() {
  const resolved = resolveOptions(options);
  const engine = await Engine.open(path, resolved);
  const { metadata } = engine.file;
  const description: ModelDescription = {
    path,
    digest: engine.file.digest,
    architecture: engine.family.name,
    name: metadata.stringOr('general.name', engine.family.name),
    vocabulary: engine.shape.vocabulary,
    layers: engine.shape.layers,
    experts: engine.shape.experts,
    usedExperts: engine.shape.usedExperts,
    contextLength: engine.budget.contextLength,
    isa: engine.kernels.isa,
    threads: engine.kernels.threads,
    policy: resolved.policy ?? DEFAULT_CACHE_POLICY,
    flash: engine.flashSetting,
    slots: engine.experts.slots.count,
    warnings: engine.warnings,
  };
  return { engine, tokenizer: openTokenizer(metadata, path), description };
}

/** Advances by one turn; true when finished. */
type Work = () => boolean;

function serve({ engine, tokenizer, description }: Awaited<ReturnType<typeof open>>): void {
  const sequences = new Map<number, Sequence>();
  const busy = new Set<Sequence>();
  const work = new Map<number, Work>();
  let template: ChatTemplate | null = null;
  let recorder: TraceRecorder | null = null;
  let running = false;

  const tokens = (prompt: Prompt): number[] => {
    if (prompt.kind === 'tokens') return [...prompt.tokens];
    if (prompt.kind === 'chat') template ??= new ChatTemplate(engine.file.metadata, path);
    const text =
      prompt.kind === 'text' ? prompt.text : template!.render(prompt.messages, { addGenerationPrompt: true });
    const ids = tokenizer.encode(text);
    const { beginId } = tokenizer;
    return beginId !== null && ids[0] !== beginId ? [beginId, ...ids] : ids;
  };

  const sequence = (id: number): Sequence => {
    const found = sequences.get(id);
    if (!found) throw new OptionError('session/closed', 'the session is closed', 'Create a new session.');
    return found;
  };

  /** Starts work that owns a sequence until it ends; `prepare` runs once the sequence is known to be free. */
  const start = (id: number, owned: Sequence, prepare: () => Work, cleanUp: () => void = () => {}) => {
    if (busy.has(owned))
      throw new OptionError(
        'session/busy',
        'the session is generating',
        'Wait for it to end, or use another session.',
      );
    busy.add(owned);
    const end = () => {
      busy.delete(owned);
      cleanUp();
    };
    let step: Work;
    try {
      step = prepare();
    } catch (error) {
      end();
      throw error;
    }
    work.set(id, () => {
      try {
        const finished = step();
        if (finished) end();
        return finished;
      } catch (error) {
        end();
        throw error;
      }
    });
  };

  const handle = (request: Request): unknown => {
    switch (request.type) {
      case 'createSession':
        sequences.set(request.id, new Sequence(engine, engine.createKv(request.contextLength)));
        return request.id;
      case 'closeSession': {
        const closed = sequences.get(request.session);
        if (closed && busy.has(closed))
          throw new OptionError('session/busy', 'the session is generating', 'Abort it first.');
        sequences.delete(request.session);
        closed?.free();
        return null;
      }
      case 'generate': {
        const owned = sequence(request.session);
        start(request.id, owned, () => {
          const generator = new Generator(engine, owned, tokenizer, tokens(request.prompt), {
            maxTokens: request.maxTokens,
            temperature: request.temperature,
            seed: request.seed,
            interrupted: () => Atomics.load(request.interrupt, 0) !== 0,
          });
          return () => {
            const result = generator.step();
            if (!result) return false;
            send({ type: 'piece', id: request.id, piece: result.piece });
            if (!result.finish) return false;
            send({ type: 'end', id: request.id, summary: generator.summary(result.finish) });
            return true;
          };
        });
        return undefined;
      }
      case 'logits': {
        const ids = tokens(request.prompt);
        const owned = new Sequence(engine, engine.createKv(Math.max(ids.length, 1)));
        const onRow = (logits: Float32Array<ArrayBuffer>) =>
          send({ type: 'row', id: request.id, logits }, [logits.buffer]);
        start(
          request.id,
          owned,
          () => {
            const evaluator = new Evaluator(
              engine,
              owned,
              ids,
              request.output === 'rows' ? onRow : null,
              () => Atomics.load(request.interrupt, 0) !== 0,
            );
            return () => {
              const finished = evaluator.step();
              if (finished) send({ type: 'done', id: request.id, value: evaluator.score });
              return finished;
            };
          },
          () => owned.free(),
        );
        return undefined;
      }
      case 'tokenize':
        return tokens(request.prompt);
      case 'setMemory':
        engine.setMemory(request.bytes);
        return engine.experts.slots.count;
      case 'setLimits':
        engine.setLimits(request);
        return engine.limits;
      case 'statistics':
        return engine.statistics();
      case 'trace': {
        if (request.enabled) {
          const { layers, experts, usedExperts } = engine.shape;
          recorder = new TraceRecorder({ layers, expertsPerLayer: experts, usedPerLayer: usedExperts });
          const active = recorder;
          engine.experts.onRoute = (layer, routes) => {
            // a batch of prompt tokens visits the cache once for all; only decode is a trace
            if (routes.tokens === 1) active.record(layer, routes.ids.subarray(0, routes.k));
          };
          return null;
        }
        engine.experts.onRoute = null;
        const trace = recorder && encodeTrace(recorder.trace());
        recorder = null;
        return trace;
      }
      case 'close':
        work.clear();
        for (const s of sequences.values()) s.free();
        engine.close();
        return null;
    }
  };

  const turn = async () => {
    running = true;
    while (work.size > 0) {
      for (const [id, step] of work) {
        try {
          if (step()) work.delete(id);
        } catch (error) {
          work.delete(id);
          send({ type: 'error', id, error: failure(error) });
        }
        // messages sent meanwhile are delivered here
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
    running = false;
  };

  port.on('message', (request: Request) => {
    try {
      const value = handle(request);
      if (value !== undefined) send({ type: 'done', id: request.id, value });
    } catch (error) {
      send({ type: 'error', id: request.id, error: failure(error) });
    }
    if (request.type === 'close') port.close();
    else if (!running) void turn();
  });
  send({ type: 'open', model: description });
}

open().then(serve, (error: unknown) => {
  send({ type: 'failed', error: failure(error) });
  port.close();
});
