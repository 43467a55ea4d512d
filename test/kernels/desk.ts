import type { Kernels, LinearGroup } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';
import { rowBytes } from '../../kernels/weight-type.js';

/** One library with the memory that a test puts into it; everything is freed by {@link close}. */
export class Desk {
  readonly #spans: Memory[] = [];

  constructor(readonly kernels: Kernels) {}

  /** A span of `bytes` zeros that starts `offset` bytes into a page. */
  zeros(bytes: number, offset = 0): Memory {
    const span = this.kernels.alloc(offset + bytes);
    this.#spans.push(span);
    return span.slice(offset, bytes);
  }

  floats(x: Float32Array, offset = 0): Memory {
    const span = this.zeros(x.length * 4, offset);
    span.f32.set(x);
    return span;
  }

  bytes(x: Uint8Array, offset = 0): Memory {
    const span = this.zeros(x.length, offset);
    span.bytes.set(x);
    return span;
  }

  /** A group of one matrix, at an address that is `offset` bytes into a page. */
  matrix(type: number, cols: number, weights: Uint8Array, offset = 0): LinearGroup {
    const rows = weights.length / rowBytes(type, cols);
    return this.kernels.group([{ type, layout: 0, rows, cols, memory: this.bytes(weights, offset) }]);
  }

  close(): void {
    for (const span of this.#spans.splice(0)) this.kernels.free(span);
  }
}
