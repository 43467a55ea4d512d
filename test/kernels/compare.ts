import { expect } from '@jest/globals';
import type { Kernels } from '../../kernels/kernels.js';
import { openKernels } from '../../kernels/open.js';
import { ReferenceKernels } from '../../kernels/reference/reference-kernels.js';
import { Desk } from './desk.js';

/**
 * The native library and the reference side by side. POCKETMOE_ISA chooses the native code to compare, as it does
 * for every user of the library.
 */
export class SideBySide {
  readonly native: Kernels = openKernels({ threads: 2 }).kernels;
  readonly reference: Kernels = new ReferenceKernels();

  constructor() {
    // Without the native library every comparison would hold.
    if (this.native.isa === 'reference')
      throw new Error('these tests need the native library: node scripts/build-native.mjs');
    if (process.env['POCKETMOE_ISA'] === 'portable' && this.native.isa !== 'portable')
      throw new Error(`POCKETMOE_ISA=portable, but the library uses ${this.native.isa}`);
  }

  /**
   * Runs the same work on both libraries, natively with one, two and three threads, which must give the same bits.
   */
  both(work: (desk: Desk) => Float32Array): { actual: Float32Array; expected: Float32Array } {
    const expected = onDesk(this.reference, work);
    let actual: Float32Array | undefined;
    for (const threads of [1, 2, 3]) {
      this.native.setThreads(threads);
      const result = onDesk(this.native, work);
      if (actual) expect(differences(result, actual)).toBe(0);
      actual = result;
    }
    expect(actual!.length).toBe(expected.length);
    return { actual: actual!, expected };
  }

  close(): void {
    this.native.close();
  }
}

/** Runs work on a library and copies the result out before its memory is freed. */
export function onDesk(kernels: Kernels, work: (desk: Desk) => Float32Array): Float32Array {
  const desk = new Desk(kernels);
  try {
    return work(desk).slice();
  } finally {
    desk.close();
  }
}

/** How many elements have different bits. */
export function differences(a: Float32Array, b: Float32Array): number {
  const [x, y] = [a, b].map((v) => new Uint32Array(v.buffer, v.byteOffset, v.length));
  return x!.reduce((count, bits, i) => count + (bits === y![i] ? 0 : 1), 0);
}
