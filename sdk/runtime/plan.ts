import { probe } from '../../firmware-bridge/flash/probe.js';
import { openKernels } from '../../kernels/open.js';
import { Layout, type Kernels } from '../../kernels/kernels.js';
import { rowBytes } from '../../kernels/weight-type.js';
import { MemoryBudgetError } from '../error.js';
import { divideMemory, type Budget } from './budget.js';
import { examineModel } from './examine.js';
import { resolveOptions } from './engine-options.js';
import type { OpenOptions } from './model.js';
import { availableMemory } from './process-memory.js';

/** Weights multiplied to measure how fast this machine gets through them. */
const SAMPLE_BYTES = 24 << 20;
const SAMPLE_ROUNDS = 4;

/** What a model needs and may do on this machine. Bytes; `tokensPerSecond` is [no overlap, full overlap]. */
export interface Plan {
  readonly fits: boolean;
  /** Least memory that works with this context. */
  readonly smallestBytes: number;
  /** Memory beyond which nothing gets faster: all experts resident. */
  readonly largestBytes: number;
  /** What binds the speed: reading experts, getting through the weights, or nothing when it does not fit. */
  readonly limit: 'flash' | 'compute' | 'memory';
  readonly tokensPerSecond: readonly [low: number, high: number];
  /** Expert bytes read from flash per decoded token, were all experts equally likely. */
  readonly bytesPerToken: number;
  readonly memory: {
    readonly totalBytes: number;
    readonly runtimeBytes: number;
    readonly denseBytes: number;
    readonly kvBytes: number;
    readonly activationBytes: number;
    readonly slotBytes: number;
    readonly slots: number;
    readonly experts: number;
  };
  readonly model: {
    readonly architecture: string;
    readonly name: string;
    readonly layers: number;
    readonly experts: number;
    readonly usedExperts: number;
    readonly expertBytes: number;
    readonly contextLength: number;
    readonly batch: number;
  };
  /** What the figures rest on: bytes per second measured now. */
  readonly measured: { readonly flashBytesPerSecond: number; readonly weightBytesPerSecond: number };
}

/**
 * Says before anything is loaded whether a model fits a memory budget, how fast it may be, and what limits it.
 * Measures flash on the model's own file and one matrix product; takes about half a second.
 * Throws the same errors as openModel, except that too little memory is an answer (`fits: false`), not an error.
 */
export async function plan(path: string, { signal, ...options }: OpenOptions = {}): Promise<Plan> {
  const resolved = resolveOptions(options);
  const { file, family, shape, denseBytes } = await examineModel(path);

  let budget: Budget;
  let fits = true;
  try {
    budget = divideMemory(file, shape, denseBytes, resolved, availableMemory());
  } catch (error) {
    if (!(error instanceof MemoryBudgetError)) throw error;
    fits = false;
    budget = divideMemory(file, shape, denseBytes, { ...resolved, memory: error.smallestBytes }, 0);
  }
  const slots = [...budget.slots.values()].reduce((a, b) => a + b, 0);
  const experts = file.experts.size * shape.experts;
  let expertBytes = 0;
  for (const { roles } of file.experts.values())
    expertBytes += roles.gate.length + roles.up.length + roles.down.length;
  expertBytes /= file.experts.size;

  const layer = file.experts.values().next().value!;
  const piece = layer.pieces[0]![0]!;
  const flash = await probe(file.files[piece.file]!, {
    extentBytes: piece.length,
    ...(signal && { signal }),
  });
  const { kernels } = openKernels({ threads: resolved.threads });
  let weightBytesPerSecond: number;
  try {
    weightBytesPerSecond = measureWeights(kernels, layer.roles.gate.type, shape.width);
  } finally {
    kernels.close();
  }

  const usedBytes = file.experts.size * shape.usedExperts * expertBytes;
  const embedding = file.tensors.get('token_embd.weight')!;
  const tied = !file.tensors.has('output.weight');
  const touched = denseBytes - (tied ? 0 : embedding.length) + usedBytes;
  const bytesPerToken = Math.round(usedBytes * (1 - slots / experts));
  const computeSeconds = touched / weightBytesPerSecond;
  const flashSeconds = bytesPerToken / flash.bytesPerSecond;
  const round = (x: number) => Number(x.toPrecision(3));
  return {
    fits,
    smallestBytes: budget.smallestBytes,
    largestBytes: budget.largestBytes,
    limit: !fits ? 'memory' : flashSeconds > computeSeconds ? 'flash' : 'compute',
    tokensPerSecond: fits
      ? [round(1 / (computeSeconds + flashSeconds)), round(1 / Math.max(computeSeconds, flashSeconds))]
      : [0, 0],
    bytesPerToken,
    memory: {
      totalBytes: resolved.memory ?? budget.totalBytes,
      runtimeBytes: budget.runtimeBytes,
      denseBytes: budget.denseBytes,
      kvBytes: budget.kvBytes,
      activationBytes: budget.activationBytes,
      slotBytes: budget.slotBytes,
      slots,
      experts,
    },
    model: {
      architecture: family.name,
      name: file.metadata.stringOr('general.name', family.name),
      layers: shape.layers,
      experts: shape.experts,
      usedExperts: shape.usedExperts,
      expertBytes: Math.round(expertBytes),
      contextLength: budget.contextLength,
      batch: budget.batch,
    },
    measured: {
      flashBytesPerSecond: Math.round(flash.bytesPerSecond),
      weightBytesPerSecond: Math.round(weightBytesPerSecond),
    },
  };
}

/** Bytes of weights per second in matrix × vector products on memory larger than the caches. */
function measureWeights(kernels: Kernels, type: number, cols: number): number {
  const bytesPerRow = rowBytes(type, cols);
  const rows = Math.max(
    64,
    Math.floor((kernels.isa === 'reference' ? SAMPLE_BYTES >> 4 : SAMPLE_BYTES) / bytesPerRow),
  );
  const memory = kernels.alloc(rows * bytesPerRow);
  const x = kernels.alloc(cols * 4);
  const out = kernels.alloc(rows * 4);
  try {
    const group = kernels.group([{ type, layout: Layout.Rows, rows, cols, memory }]);
    kernels.linear(group, x, cols, out, rows, 1);
    let best = Infinity;
    for (let i = 0; i < SAMPLE_ROUNDS; i++) {
      const begun = performance.now();
      kernels.linear(group, x, cols, out, rows, 1);
      best = Math.min(best, performance.now() - begun);
    }
    return (rows * bytesPerRow * 1000) / best;
  } finally {
    for (const span of [memory, x, out]) kernels.free(span);
  }
}
