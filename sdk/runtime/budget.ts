import type { ModelShape } from '../architectures/architecture.js';
import { MemoryBudgetError, OptionError } from '../error.js';
import { slotBytes } from '../experts/slot-layout.js';
import type { ModelFile } from '../model/model-file.js';
import type { ResolvedOptions } from './engine-options.js';
import { kvBytes } from './kv-cache.js';
import { formatBytes } from './memory-size.js';
import { activationBytes } from './pass.js';

/** Node, both isolates, the library, lanes and stacks: 82 MiB were measured with the demo model, see docs/benchmarks.md. */
const RUNTIME_BYTES = 88 << 20;
/** Header and tokenizer per vocabulary entry: 16 MiB were measured with 152,000 entries; the rest is for collection. */
const RUNTIME_BYTES_PER_TOKEN = 160;
/** Kernel scratch per token of a batch and per float of the widest activation. */
const SCRATCH_FACTOR = 6;

const DEFAULT_CONTEXT = 4096;
const DEFAULT_BATCH = 512;
const SMALLEST_BATCH = 16;
/** Share of the memory that activations may take before the batch is halved. */
const ACTIVATION_SHARE = 0.06;

/** What to take of the available memory when no budget is given. */
export const defaultMemory = (available: number): number => Math.floor(available * 0.7);

/** Experts of one slot size. */
export interface SlotClass {
  readonly slotBytes: number;
  /** Experts of this size, over all layers. */
  readonly experts: number;
}

/** How one amount of memory is divided. Bytes. */
export interface Budget {
  readonly totalBytes: number;
  readonly runtimeBytes: number;
  readonly denseBytes: number;
  readonly kvBytes: number;
  readonly activationBytes: number;
  readonly slotBytes: number;
  /** Slot sizes and how many experts have each. */
  readonly classes: readonly SlotClass[];
  /** Slots by slot size. */
  readonly slots: ReadonlyMap<number, number>;
  readonly contextLength: number;
  readonly batch: number;
  /** The least memory that works with this context. */
  readonly smallestBytes: number;
  /** Memory beyond which more does not help: everything resident. */
  readonly largestBytes: number;
}

/** Slot sizes of a model, in layer order. */
function slotClasses(file: ModelFile, experts: number): SlotClass[] {
  const classes = new Map<number, number>();
  for (const layer of file.experts.values()) {
    const bytes = slotBytes(layer);
    classes.set(bytes, (classes.get(bytes) ?? 0) + experts);
  }
  return [...classes].map(([bytes, count]) => ({ slotBytes: bytes, experts: count }));
}

/**
 * Slots per size from an amount of bytes: a floor of `used` each, the rest in proportion to what each size holds.
 * `most` bounds the number of slots over all sizes.
 */
export function divideSlots(
  classes: readonly SlotClass[],
  bytes: number,
  used: number,
  most = Infinity,
): Map<number, number> {
  const floors = classes.map((c) => Math.min(used, c.experts));
  const floorBytes = classes.reduce((sum, c, i) => sum + c.slotBytes * floors[i]!, 0);
  const wanted = classes.reduce((sum, c, i) => sum + c.slotBytes * (c.experts - floors[i]!), 0);
  const share = wanted === 0 ? 0 : Math.min(1, Math.max(0, bytes - floorBytes) / wanted);
  const total = classes.reduce((sum, c) => sum + c.experts, 0);
  return new Map(
    classes.map((c, i) => {
      const slots = floors[i]! + Math.floor((c.experts - floors[i]!) * share);
      const bound = Math.max(floors[i]!, Math.floor((most * c.experts) / total));
      return [c.slotBytes, Math.min(slots, bound)];
    }),
  );
}

/** Bytes of a division into slots. */
export const bytesOfSlots = (slots: ReadonlyMap<number, number>): number =>
  [...slots].reduce((sum, [bytes, count]) => sum + bytes * count, 0);

/** Activations and kernel scratch of passes over `batch` tokens. */
function passBytes(shape: ModelShape, batch: number): number {
  const widest = shape.usedExperts * shape.hidden + shape.width + (shape.buffers['qkv'] ?? 0);
  return activationBytes(shape, batch) + batch * widest * SCRATCH_FACTOR + (1 << 20);
}

/**
 * Divides the memory: runtime, dense weights, KV cache of one session, activations, and expert slots from the rest.
 * Throws MemoryBudgetError with the smallest workable figure, OptionError when the context exceeds the model's.
 *
 * @param denseBytes memory of the dense weights
 * @param available memory to plan with when options.memory is not given
 */
export function divideMemory(
  file: ModelFile,
  shape: ModelShape,
  denseBytes: number,
  options: ResolvedOptions,
  available: number,
): Budget {
  const contextLength = options.contextLength ?? Math.min(shape.contextLength, DEFAULT_CONTEXT);
  if (contextLength > shape.contextLength)
    throw new OptionError(
      'option/contextLength',
      `contextLength is ${contextLength}; ${file.path} was made for ${shape.contextLength} tokens`,
      `Give at most ${shape.contextLength}.`,
    );
  const runtimeBytes = RUNTIME_BYTES + RUNTIME_BYTES_PER_TOKEN * shape.vocabulary;
  const kv = kvBytes(shape, options.kv, contextLength);
  const classes = slotClasses(file, shape.experts);
  const floor = divideSlots(classes, 0, shape.usedExperts);
  const fixed = runtimeBytes + denseBytes + kv;
  const smallestBatch = Math.min(options.batch ?? SMALLEST_BATCH, contextLength);
  const smallestBytes = fixed + passBytes(shape, smallestBatch) + bytesOfSlots(floor);

  let batch = Math.min(options.batch ?? DEFAULT_BATCH, contextLength);
  const everything = classes.reduce((sum, c) => sum + c.slotBytes * c.experts, 0);
  const largestBytes = fixed + passBytes(shape, batch) + everything;
  const totalBytes =
    options.memory ?? Math.max(smallestBytes, Math.min(largestBytes, defaultMemory(available)));
  if (totalBytes < smallestBytes)
    throw new MemoryBudgetError(
      `${formatBytes(totalBytes)} cannot hold ${file.path}: the runtime, dense weights, KV cache and the fewest expert slots need ${formatBytes(smallestBytes)}`,
      `Give memory: ${Math.ceil(smallestBytes / 2 ** 20)}MiB or more, or a shorter context.`,
      smallestBytes,
    );
  if (options.batch === undefined)
    while (
      batch > SMALLEST_BATCH &&
      (passBytes(shape, batch) > totalBytes * ACTIVATION_SHARE ||
        fixed + passBytes(shape, batch) + bytesOfSlots(floor) > totalBytes)
    )
      batch = Math.max(SMALLEST_BATCH, batch >> 1);
  const activations = passBytes(shape, batch);
  const slots = divideSlots(
    classes,
    totalBytes - fixed - activations,
    shape.usedExperts,
    options.expertSlots ?? Infinity,
  );
  return {
    totalBytes,
    runtimeBytes,
    denseBytes,
    kvBytes: kv,
    activationBytes: activations,
    slotBytes: bytesOfSlots(slots),
    classes,
    slots,
    contextLength,
    batch,
    smallestBytes,
    largestBytes,
  };
}
