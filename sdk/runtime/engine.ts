import type { Flash } from '../../firmware-bridge/flash/flash.js';
import { openFlash } from '../../firmware-bridge/flash/open-flash.js';
import { probe } from '../../firmware-bridge/flash/probe.js';
import type { Kernels } from '../../kernels/kernels.js';
import { openKernels } from '../../kernels/open.js';
import type { Architecture, ModelShape } from '../architectures/architecture.js';
import { ContextFullError, MemoryBudgetError } from '../error.js';
import { ExpertStream } from '../experts/expert-stream.js';
import { totalExpertStatistics, type ExpertStatistics } from '../experts/expert-statistics.js';
import { cachePolicy, DEFAULT_CACHE_POLICY } from '../experts/policies.js';
import type { ModelFile } from '../model/model-file.js';
import { type Budget, bytesOfSlots, defaultMemory, divideMemory, divideSlots } from './budget.js';
import { DenseWeights } from './dense-weights.js';
import { checkLimits, type ResolvedOptions } from './engine-options.js';
import { kvBytes, KvCache } from './kv-cache.js';
import { examineModel } from './examine.js';
import { formatBytes } from './memory-size.js';
import { type LogitsSink, Pass } from './pass.js';
import { availableMemory, processMemory } from './process-memory.js';

/** Time and bytes that measuring the flash may take while opening. */
const PROBE = { budgetMs: 120, maxBytes: 64 << 20 };
const DEFAULT_LANES = 4;

/** How flash is read, and why. */
export interface FlashSetting {
  readonly direct: boolean;
  readonly lanes: number;
  readonly backend: string;
  readonly measured: boolean;
}

/** What bounds speed and heat while running. Neither changes a result. */
export interface EngineLimits {
  /** Compute threads. */
  readonly threads: number;
  /** Flash reads in flight at most. */
  readonly lanes: number;
}

/** Cumulative counters of an engine. */
export interface EngineStatistics {
  readonly experts: ExpertStatistics;
  readonly expertsByLayer: ReadonlyMap<number, ExpertStatistics>;
  /** Tokens that went through the layers. */
  readonly tokens: number;
  /** Passes that computed a single token, as decoding does, and the nanoseconds they took together. */
  readonly decode: { tokens: number; ns: number };
  /** In force now. */
  readonly limits: EngineLimits;
  readonly slots: { count: number; bytes: number; resident: number };
  readonly flash: { reads: number; bytes: number; failed: number; corrupt: number };
  /** `given`: the budget was asked for, not chosen by what the model can use. */
  readonly memory: { budgetBytes: number; given: boolean; residentBytes: number; peakBytes: number };
}

/**
 * A model ready to compute, in the calling thread: weights in memory, experts on flash, kernels, lanes. Everything
 * here is synchronous but opening; the engine worker keeps it away from the app's event loop.
 */
export class Engine {
  readonly #kvs = new Set<KvCache>();
  /** The budget that was asked for, if any. */
  #given: number | undefined;
  /** The budget in force. */
  #memory: number;
  #tokens = 0;
  readonly #decode = { tokens: 0, ns: 0 };
  #lanes: number;
  #batchIds: Int32Array;

  private constructor(
    readonly file: ModelFile,
    readonly family: Architecture,
    readonly shape: ModelShape,
    readonly kernels: Kernels,
    readonly flash: Flash,
    readonly flashSetting: FlashSetting,
    readonly budget: Budget,
    /** What the person should know: reference kernels in use, and the like. */
    readonly warnings: readonly string[],
    private readonly options: ResolvedOptions,
    private readonly dense: DenseWeights,
    private readonly weights: unknown,
    readonly experts: ExpertStream,
    private readonly pass: Pass,
    /** Most memory to take when none was given. */
    private readonly limit: number,
  ) {
    this.#given = options.memory;
    this.#memory = budget.totalBytes;
    this.#lanes = flashSetting.lanes;
    this.#batchIds = new Int32Array(pass.batch);
  }

  /**
   * Opens a GGUF file or a package.
   * Throws ModelFormatError, UnsupportedError, MemoryBudgetError, FlashError, OptionError.
   */
  static async open(
    path: string,
    options: ResolvedOptions,
    onProgress?: (done: number, total: number) => void,
  ): Promise<Engine> {
    const policy = cachePolicy(options.policy ?? DEFAULT_CACHE_POLICY);
    const { file, family, shape, denseBytes } = await examineModel(path);
    const available = availableMemory();
    const budget = divideMemory(file, shape, denseBytes, options, available);

    const { kernels, warning } = openKernels({ threads: options.threads });
    let opened: Flash | null = null;
    try {
      const setting = await flashSetting(file, budget, options);
      const flash = openFlash({ lanes: setting.lanes, backend: setting.backend });
      opened = flash;
      const handles = file.files.map((f) => flash.open(f, setting.direct));
      const dense = new DenseWeights(file, kernels);
      const weights = family.weights(dense, shape);
      await dense.read(flash, handles, onProgress);
      const experts = new ExpertStream(kernels, flash, file, handles, shape, policy);
      const pass = new Pass(kernels, shape, experts, family.routing(shape), budget.batch);
      const engine = new Engine(
        file,
        family,
        shape,
        kernels,
        flash,
        { ...setting, direct: flash.isDirect(handles[0]!), backend: flash.backend },
        budget,
        warning === null ? [] : [warning],
        options,
        dense,
        weights,
        experts,
        pass,
        processMemory().residentBytes + defaultMemory(available),
      );
      engine.#divide();
      return engine;
    } catch (error) {
      opened?.close();
      kernels.close();
      throw error;
    }
  }

  /** Most tokens per {@link forward}. */
  get batch(): number {
    return this.pass.batch;
  }

  get memory(): number {
    return this.#memory;
  }

  /**
   * A KV cache for a conversation of `contextLength` tokens (default: the budget's). Expert slots give way to it.
   * Throws MemoryBudgetError when they cannot.
   */
  createKv(contextLength: number = this.budget.contextLength): KvCache {
    const { kv } = this.options;
    const bytes = kvBytes(this.shape, kv, contextLength);
    this.#divide(bytes);
    const cache = new KvCache(this.kernels, this.shape, kv, contextLength);
    this.#kvs.add(cache);
    return cache;
  }

  freeKv(cache: KvCache): void {
    if (!this.#kvs.delete(cache)) return;
    cache.free();
    try {
      this.#divide();
    } catch (error) {
      // the app outgrew the budget meanwhile; giving memory back must not fail for it
      if (!(error instanceof MemoryBudgetError)) throw error;
    }
  }

  /** Throws ContextFullError when `added` tokens after `held` ones do not fit the cache. */
  checkRoom(held: number, added: number, kv: KvCache): void {
    if (held + added > kv.contextLength)
      throw new ContextFullError(
        'session/context-full',
        `the conversation needs ${held + added} tokens, its context holds ${kv.contextLength}`,
        'Open the model with a larger contextLength, or start a new session.',
      );
  }

  /**
   * Computes a batch of tokens that follow what `kv` holds; on return kv holds them too. On an error kv holds what it
   * held before. `interrupted` is asked at every layer; when it says yes, an "AbortError" is thrown.
   */
  forward(
    kv: KvCache,
    ids: readonly number[],
    outputs: 'last' | 'all' | 'none',
    sink: LogitsSink,
    interrupted: () => boolean = () => false,
  ): void {
    const begun = performance.now();
    this.checkRoom(kv.length, ids.length, kv);
    const batch = this.#batchIds.subarray(0, ids.length);
    batch.set(ids);
    this.pass.begin(kv, batch, outputs, sink, interrupted);
    try {
      this.family.forward(this.pass, this.shape, this.weights);
    } catch (error) {
      this.experts.abandon();
      throw error;
    }
    this.#tokens += ids.length;
    if (ids.length === 1) {
      this.#decode.tokens++;
      this.#decode.ns += Math.round((performance.now() - begun) * 1e6);
    }
  }

  /**
   * A new memory budget, effective at once; null: as when none is given. Throws MemoryBudgetError; then the old one
   * stays.
   */
  setMemory(bytes: number | null): void {
    const before = this.#given;
    this.#given = bytes ?? undefined;
    try {
      this.#divide();
    } catch (error) {
      this.#given = before;
      throw error;
    }
  }

  get limits(): EngineLimits {
    return { threads: this.kernels.threads, lanes: this.#lanes };
  }

  /** Changes threads or lanes between passes; results stay the same bit for bit. Throws OptionError; then both stay. */
  setLimits(limits: Parameters<typeof checkLimits>[0]): void {
    const { threads, lanes } = checkLimits(limits);
    if (threads !== undefined) this.kernels.setThreads(threads);
    if (lanes === undefined) return;
    this.flash.setLanes(lanes);
    this.#lanes = lanes;
  }

  statistics(): EngineStatistics {
    const byLayer = this.experts.statistics;
    const { reads, bytes, failed, corrupt } = this.flash.stats();
    return {
      experts: totalExpertStatistics([...byLayer.values()]),
      expertsByLayer: byLayer,
      tokens: this.#tokens,
      decode: { ...this.#decode },
      limits: this.limits,
      slots: { ...this.experts.slots, resident: this.experts.residents() },
      flash: { reads, bytes, failed, corrupt },
      memory: { budgetBytes: this.#memory, given: this.#given !== undefined, ...processMemory() },
    };
  }

  /** Stops lanes and threads, frees everything. */
  close(): void {
    this.experts.abandon();
    this.flash.close();
    this.experts.close();
    for (const kv of this.#kvs) kv.free();
    this.pass.free();
    this.dense.free();
    this.kernels.close();
  }

  /**
   * Gives the expert slots what the rest leaves. The rest is what was planned or, where the process turned out larger
   * than planned, what it really takes: so the budget holds.
   */
  #divide(extraKv = 0): void {
    let memory = this.#given;
    const { budget } = this;
    const live = [...this.#kvs].reduce((sum, kv) => sum + kvBytes(this.shape, kv.type, kv.contextLength), 0);
    const kv = Math.max(budget.kvBytes, live + extraKv);
    const planned = budget.runtimeBytes + budget.denseBytes + budget.activationBytes;
    const measured = processMemory().residentBytes - this.experts.slots.bytes - live;
    const rest = Math.max(planned, measured) + kv;
    const { classes } = budget;
    const most = this.options.expertSlots ?? Infinity;
    const { usedExperts } = this.shape;
    const floor = bytesOfSlots(divideSlots(classes, 0, usedExperts));
    const all = bytesOfSlots(divideSlots(classes, Infinity, usedExperts, most));
    // without a budget given, an app that is large itself leaves experts less, but is never refused for it
    memory ??= Math.max(rest + floor, Math.min(rest + all, this.limit));
    const slots = divideSlots(classes, memory - rest, usedExperts, most);
    const needed = bytesOfSlots(slots);
    if (rest + needed > memory)
      throw new MemoryBudgetError(
        `${formatBytes(memory)} is too little: everything but experts takes ${formatBytes(rest)}, the fewest expert slots ${formatBytes(needed)}`,
        `Give ${Math.ceil((rest + needed) / 2 ** 20)}MiB or more, close sessions, or use a shorter context.`,
        rest + needed,
      );
    this.#memory = memory;
    this.experts.resize(slots);
  }
}

/** Direct or buffered, and how many lanes: as told, or measured when experts will be streamed. */
async function flashSetting(
  file: ModelFile,
  budget: Budget,
  options: ResolvedOptions,
): Promise<{ direct: boolean; lanes: number; backend: 'pread' | 'io_uring'; measured: boolean }> {
  const slots = [...budget.slots.values()].reduce((a, b) => a + b, 0);
  const layer = file.experts.values().next().value!;
  const streams = slots < file.experts.size * layer.pieces.length;
  if (
    options.flash === 'auto' &&
    streams &&
    (options.lanes === undefined || options.flashBackend === undefined)
  ) {
    const piece = layer.pieces[0]![0]!;
    const found = await probe(file.files[piece.file]!, { extentBytes: piece.length, ...PROBE });
    return {
      direct: found.direct,
      lanes: options.lanes ?? found.lanes,
      backend: options.flashBackend ?? found.backend,
      measured: true,
    };
  }
  return {
    direct: options.flash !== 'buffered',
    lanes: options.lanes ?? DEFAULT_LANES,
    backend: options.flashBackend ?? 'pread',
    measured: false,
  };
}
