import { NO_EXPERT, RoutingTrace, TraceError, type TraceShape } from './trace.js';

/** Collects a routing trace while a model runs. Memory: 2 bytes per expert asked for, nothing per visit kept besides. */
export class TraceRecorder {
  readonly #shape: TraceShape;
  readonly #tokenLength: number;
  #ids: Uint16Array;
  /** Whole tokens recorded. */
  #tokens = 0;
  /** Next layer of the token under way. */
  #layer = 0;
  readonly #tokenLimit: number;

  /** @param tokenLimit tokens kept (default 1,000,000); later ones are left out, so that a long run stays bounded. */
  constructor(shape: TraceShape, tokenLimit = 1_000_000) {
    new RoutingTrace(shape, new Uint16Array(0)); // checks the shape
    this.#shape = {
      layers: shape.layers,
      expertsPerLayer: shape.expertsPerLayer,
      usedPerLayer: shape.usedPerLayer,
    };
    this.#tokenLength = shape.layers * shape.usedPerLayer;
    this.#ids = new Uint16Array(this.#tokenLength * 64);
    this.#tokenLimit = tokenLimit;
  }

  /** Whole tokens recorded so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /**
   * One layer visit of one token: the distinct experts it asked for, at most usedPerLayer. Layers come in order, 0 to
   * layers − 1; layer 0 begins a token, and drops one that was left unfinished (a cancelled run). A batch of prompt
   * tokens is recorded token by token.
   * @throws TraceError when the layer is out of order or the ids do not fit; nothing is recorded then.
   */
  record(layer: number, experts: ArrayLike<number>): void {
    if (layer === 0) this.#layer = 0;
    if (layer !== this.#layer || layer >= this.#shape.layers) {
      throw new TraceError(
        'trace/order',
        `Layer ${layer} was recorded where layer ${this.#layer} was due.`,
        'Record every layer of a token in order, starting with 0.',
      );
    }
    const { usedPerLayer, expertsPerLayer } = this.#shape;
    if (experts.length > usedPerLayer) throw badIds(layer, experts, this.#shape);
    for (let i = 0; i < experts.length; i++) {
      const id = experts[i] as number;
      if (!Number.isInteger(id) || id < 0 || id >= expertsPerLayer) throw badIds(layer, experts, this.#shape);
      for (let j = 0; j < i; j++) if (experts[j] === id) throw badIds(layer, experts, this.#shape);
    }
    if (this.#tokens < this.#tokenLimit) {
      const start = this.#tokens * this.#tokenLength + layer * usedPerLayer;
      if (start + usedPerLayer > this.#ids.length) {
        const larger = new Uint16Array(this.#ids.length * 2);
        larger.set(this.#ids);
        this.#ids = larger;
      }
      this.#ids.fill(NO_EXPERT, start, start + usedPerLayer);
      this.#ids.set(experts, start);
    }
    this.#layer++;
    if (this.#layer === this.#shape.layers) {
      this.#layer = 0;
      if (this.#tokens < this.#tokenLimit) this.#tokens++;
    }
  }

  /** The whole tokens so far, as a copy; recording may go on. */
  trace(): RoutingTrace {
    return new RoutingTrace(this.#shape, this.#ids.slice(0, this.#tokens * this.#tokenLength));
  }
}

function badIds(layer: number, experts: ArrayLike<number>, shape: TraceShape): TraceError {
  return new TraceError(
    'trace/id',
    `Layer ${layer} was recorded with experts ${Array.from(experts).slice(0, 16).join(', ')}.`,
    `Give at most ${shape.usedPerLayer} distinct numbers from 0 to ${shape.expertsPerLayer - 1}.`,
  );
}
