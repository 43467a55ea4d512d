import { createRequire } from 'node:module';
import { nativeLibrary } from '../../kernels/native/library.js';

/** The functions of `pocketmoe_flash.h`; pointers are numbers. */
export interface FlashLibrary {
  create(lanes: number, backend: number): number;
  destroy(flash: number): void;
  open(flash: number, path: string, direct: number): number;
  isDirect(flash: number, file: number): number;
  submit(flash: number, reads: number, count: number): number;
  cancel(flash: number, state: number): number;
  promote(flash: number, state: number): number;
  wait(state: number, timeoutMs: number): number;
  drop(flash: number, file: number, offset: number, length: number): number;
  setLanes(flash: number, lanes: number): void;
  getStats(flash: number, stats: number): void;
  crc32c(crc: number, bytes: number, length: number): number;
  inject(flash: number, kind: number, nth: number, delayUs: number): void;
  /** Machine address of a typed array's first byte. */
  addressOf(array: ArrayBufferView): number;
}

/** Must equal PM_FLASH_ABI of the header. */
const ABI = 1;
let loaded: FlashLibrary | null | undefined;

/**
 * The flash functions of the native library, bound once per thread; null when the kernels run without it too. Then
 * engine memory has no machine addresses, so nothing native may write to it.
 */
export function flashLibrary(): FlashLibrary | null {
  if (loaded === undefined) {
    try {
      loaded = load();
    } catch {
      loaded = null; // a library from an earlier build, without these functions
    }
  }
  return loaded;
}

function load(): FlashLibrary | null {
  const native = nativeLibrary();
  if (native.library === null) return null;
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const lib = koffi.load(native.path);
  const bind = (name: string, result: string, ...parameters: string[]) => lib.func(name, result, parameters);
  if (bind('pm_flash_abi', 'int32_t')() !== ABI) return null;
  return {
    create: bind('pm_flash_create', 'uint64_t', 'int32_t', 'int32_t'),
    destroy: bind('pm_flash_destroy', 'void', 'uint64_t'),
    open: bind('pm_flash_open', 'int32_t', 'uint64_t', 'const char *', 'int32_t'),
    isDirect: bind('pm_flash_is_direct', 'int32_t', 'uint64_t', 'int32_t'),
    submit: bind('pm_flash_submit', 'int32_t', 'uint64_t', 'uint64_t', 'int32_t'),
    cancel: bind('pm_flash_cancel', 'int32_t', 'uint64_t', 'uint64_t'),
    promote: bind('pm_flash_promote', 'int32_t', 'uint64_t', 'uint64_t'),
    wait: bind('pm_flash_wait', 'int32_t', 'uint64_t', 'int32_t'),
    drop: bind('pm_flash_drop', 'int32_t', 'uint64_t', 'int32_t', 'int64_t', 'int64_t'),
    setLanes: bind('pm_flash_set_lanes', 'void', 'uint64_t', 'int32_t'),
    getStats: bind('pm_flash_get_stats', 'void', 'uint64_t', 'uint64_t'),
    crc32c: bind('pm_crc32c', 'uint32_t', 'uint32_t', 'uint64_t', 'size_t'),
    inject: bind('pm_flash_inject', 'void', 'uint64_t', 'int32_t', 'int64_t', 'int32_t'),
    addressOf: (array) => Number(koffi.address(array)),
  };
}
