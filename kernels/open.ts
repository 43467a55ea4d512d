import type { Kernels } from './kernels.js';
import { nativeLibrary } from './native/library.js';
import { NativeKernels } from './native/native-kernels.js';
import { ReferenceKernels } from './reference/reference-kernels.js';

/**
 * The native kernels, or the TypeScript reference and a warning that says why and what would help.
 * Throws RangeError when the threads cannot be made.
 */
export function openKernels({ threads }: { threads: number }): { kernels: Kernels; warning: string | null } {
  const { library, reason } = nativeLibrary();
  if (library) return { kernels: new NativeKernels(library, threads), warning: null };
  return {
    kernels: new ReferenceKernels(),
    warning: `The slow TypeScript kernels are used: ${reason}.`,
  };
}
