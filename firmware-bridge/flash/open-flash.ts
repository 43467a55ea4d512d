import { FallbackFlash } from './fallback-flash.js';
import type { Flash } from './flash.js';
import { NativeFlash } from './native-flash.js';

/** How to read flash. */
export interface FlashOptions {
  /** Reads in flight at most, 1 to 64. */
  readonly lanes: number;
  /** Who reads. Default pread. */
  readonly backend?: 'pread' | 'io_uring';
}

/**
 * Starts flash reads: native lanes, with pread where the kernel refuses io_uring, or synchronous reads where the
 * native library is missing. {@link Flash.backend} says which. Throws FlashError when `lanes` is not 1..64.
 */
export function openFlash(options: FlashOptions): Flash {
  const { lanes, backend = 'pread' } = options;
  return (
    NativeFlash.start(lanes, backend) ??
    (backend === 'io_uring' ? NativeFlash.start(lanes, 'pread') : null) ??
    new FallbackFlash(lanes)
  );
}
