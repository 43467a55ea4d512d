import type { Kernels } from '../../kernels/kernels.js';
import type { Memory } from '../../kernels/memory.js';

/** Bytes of state words per slot: one int32 per piece, padded. */
export const STATE_BYTES = 16;

/** Memory for one expert, and who is in it. */
export class Slot {
  /** The resident (or arriving) expert's key, or -1. */
  key = -1;
  /** Reads are under way or not yet known to have landed. */
  arriving = false;
  /** In use by the layer being computed. */
  pinned = false;
  gate!: Memory;
  up!: Memory;
  down!: Memory;
  ready!: readonly [Memory, Memory, Memory];

  private constructor(
    readonly memory: Memory,
    /** int32 words, one per piece. */
    readonly states: Memory,
    /** Number of its state words in the shared table. */
    readonly index: number,
  ) {}

  static allocate(kernels: Kernels, bytes: number, table: Memory, index: number): Slot {
    return new Slot(kernels.alloc(bytes), table.slice(index * STATE_BYTES, STATE_BYTES), index);
  }
}
