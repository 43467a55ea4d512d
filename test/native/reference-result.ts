import { ReferenceKernels } from '../../kernels/reference/reference-kernels.js';
import { Desk } from '../kernels/desk.js';

/** What the reference kernels make of some work: a copy of the array that it returns. */
export function referenceResult<T extends Float32Array | Uint8Array>(work: (desk: Desk) => T): T {
  const desk = new Desk(new ReferenceKernels());
  try {
    return work(desk).slice() as T;
  } finally {
    desk.close();
  }
}
