import { FallbackFlash } from '../../firmware-bridge/flash/fallback-flash.js';
import type { Flash } from '../../firmware-bridge/flash/flash.js';
import { NativeFlash } from '../../firmware-bridge/flash/native-flash.js';
import { nativeLibrary } from '../../kernels/native/library.js';

/** A way to read that the shared tests run over. */
export interface Subject {
  readonly name: string;
  readonly direct: boolean;
  start(lanes: number): Flash;
}

/** For a second binding of the native library. */
export function libraryPath(): string {
  const native = nativeLibrary();
  if (native.library === null) throw new Error(native.reason);
  return native.path;
}

/** Native lanes; the tests need the native library to be built. */
export function startNative(lanes: number, backend: 'pread' | 'io_uring'): NativeFlash {
  const flash = NativeFlash.start(lanes, backend);
  if (flash === null)
    throw new Error(`no ${backend} lanes: build the native library first (npm run build:native)`);
  return flash;
}

/** Some containers refuse rings; `open-flash.test.ts` asserts what happens then. */
export function kernelHasRings(): boolean {
  const flash = NativeFlash.start(1, 'io_uring');
  flash?.close();
  return flash !== null;
}

export const backends: readonly ('pread' | 'io_uring')[] = kernelHasRings()
  ? ['pread', 'io_uring']
  : ['pread'];

export const nativeSubjects: readonly Subject[] = backends.flatMap((backend) =>
  [true, false].map((direct) => ({
    name: `${backend} ${direct ? 'direct' : 'buffered'}`,
    direct,
    start: (lanes: number) => startNative(lanes, backend),
  })),
);

export const subjects: readonly Subject[] = [
  ...nativeSubjects,
  { name: 'fallback', direct: false, start: (lanes) => new FallbackFlash(lanes) },
];
