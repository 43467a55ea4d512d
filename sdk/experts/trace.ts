import { PocketMoeError } from '../error.js';

/** A recorded trace that cannot be read, or ids that cannot belong to one. Codes trace/*. */
export class TraceError extends PocketMoeError {
  override readonly name = 'TraceError';
}

/** Marks an unused place of a layer visit that asked for fewer experts than usedPerLayer. */
export const NO_EXPERT = 0xffff;

/** Most layers, experts of a layer and experts used per layer; ids stay below {@link NO_EXPERT}. */
const LARGEST = 0xfffe;

/** The counts that every visit of a trace shares. */
export interface TraceShape {
  /** Layers that have experts, visited in order once per token. */
  readonly layers: number;
  readonly expertsPerLayer: number;
  /** The most experts that one token asks of one layer. */
  readonly usedPerLayer: number;
}

/**
 * What the routers chose, token by token and layer by layer: all that an expert cache sees, so any policy can be
 * replayed on it later.
 */
export class RoutingTrace implements TraceShape {
  readonly layers: number;
  readonly expertsPerLayer: number;
  readonly usedPerLayer: number;
  readonly tokens: number;

  /**
   * @param ids tokens × layers × usedPerLayer expert numbers (of their layer); each visit's ids are distinct and come
   *   first, {@link NO_EXPERT} fills the rest. Kept, not copied.
   * @throws TraceError when the counts, the length or an id do not fit.
   */
  constructor(
    shape: TraceShape,
    readonly ids: Uint16Array,
  ) {
    checkShape(shape);
    this.layers = shape.layers;
    this.expertsPerLayer = shape.expertsPerLayer;
    this.usedPerLayer = shape.usedPerLayer;
    const perToken = this.layers * this.usedPerLayer;
    if (ids.length % perToken !== 0) {
      throw new TraceError(
        'trace/length',
        `A routing trace has ${ids.length} ids, no multiple of ${perToken} a token.`,
        'Record the trace again; it may have been cut off.',
      );
    }
    this.tokens = ids.length / perToken;
    this.#checkIds();
  }

  /** Experts chosen by `token` in `layer`, without the fill. A view, not a copy. */
  step(token: number, layer: number): Uint16Array {
    const start = (token * this.layers + layer) * this.usedPerLayer;
    let end = start;
    const limit = start + this.usedPerLayer;
    while (end < limit && this.ids[end] !== NO_EXPERT) end++;
    return this.ids.subarray(start, end);
  }

  #checkIds(): void {
    const { ids, usedPerLayer, expertsPerLayer } = this;
    const seenAt = new Float64Array(expertsPerLayer).fill(-1);
    for (let start = 0; start < ids.length; start += usedPerLayer) {
      let filled = false;
      for (let i = start; i < start + usedPerLayer; i++) {
        const id = ids[i] as number;
        if (id === NO_EXPERT) {
          filled = true;
          continue;
        }
        if (filled || id >= expertsPerLayer || seenAt[id] === start) {
          const visit = start / usedPerLayer;
          const where = `token ${Math.floor(visit / this.layers)}, layer ${visit % this.layers}`;
          const what = filled
            ? 'has a gap'
            : id >= expertsPerLayer
              ? `has expert ${id} of ${expertsPerLayer}`
              : `has expert ${id} twice`;
          throw new TraceError('trace/id', `A routing trace ${what} at ${where}.`, 'Record the trace again.');
        }
        seenAt[id] = start;
      }
    }
  }
}

function checkShape(shape: TraceShape): void {
  const { layers, expertsPerLayer, usedPerLayer } = shape;
  for (const [name, value] of Object.entries({ layers, expertsPerLayer, usedPerLayer })) {
    if (!Number.isInteger(value) || value < 1 || value > LARGEST) {
      throw new TraceError(
        'trace/shape',
        `A routing trace says ${name} = ${value}.`,
        `Give a whole number from 1 to ${LARGEST}.`,
      );
    }
  }
  if (usedPerLayer > expertsPerLayer) {
    throw new TraceError(
      'trace/shape',
      `A routing trace uses ${usedPerLayer} of ${expertsPerLayer} experts.`,
      'usedPerLayer is at most expertsPerLayer.',
    );
  }
}
