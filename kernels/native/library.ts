import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { packageRoot } from './package-root.js';

/** The functions of `pocketmoe_kernels.h`. Addresses are numbers: they are below 2^47. */
export interface NativeLibrary {
  isa(): string;
  alloc(bytes: number): number;
  release(address: number, bytes: number): void;
  /** The bytes at an address. Make one view per allocation. */
  view(address: number, bytes: number): ArrayBuffer;
  poolCreate(threads: number): number;
  poolDestroy(pool: number): void;
  poolScratch(pool: number): number;
  linear(
    pool: number,
    matrices: number,
    count: number,
    x: number,
    xStride: number,
    out: number,
    outStride: number,
    tokens: number,
  ): void;
  embed(table: number, ids: number, tokens: number, out: number): void;
  rmsNorm(
    pool: number,
    x: number,
    xStride: number,
    weight: number,
    out: number,
    outStride: number,
    tokens: number,
    groups: number,
    cols: number,
    eps: number,
  ): void;
  rope(
    pool: number,
    x: number,
    stride: number,
    tokens: number,
    heads: number,
    headSize: number,
    dims: number,
    pos0: number,
    freqBase: number,
    freqScale: number,
    pairing: number,
    factors: number,
  ): void;
  kvStore(
    k: number,
    v: number,
    stride: number,
    cacheK: number,
    cacheV: number,
    type: number,
    tokens: number,
    pos0: number,
    kvHeads: number,
    headSize: number,
  ): void;
  attention(
    pool: number,
    q: number,
    qStride: number,
    cacheK: number,
    cacheV: number,
    type: number,
    out: number,
    outStride: number,
    tokens: number,
    pos0: number,
    heads: number,
    kvHeads: number,
    headSize: number,
    window: number,
    scale: number,
  ): void;
  route(
    logits: number,
    tokens: number,
    experts: number,
    k: number,
    gating: number,
    bias: number,
    groups: number,
    groupsUsed: number,
    norm: number,
    scale: number,
    ids: number,
    weights: number,
  ): void;
  expertsFfn(
    pool: number,
    shape: number,
    jobs: number,
    count: number,
    tokens: number,
    targets: number,
    x: number,
    xStride: number,
    y: number,
    yStride: number,
    stats: number,
  ): number;
  combine(
    pool: number,
    y: number,
    yStride: number,
    weights: number,
    tokens: number,
    k: number,
    width: number,
    scale: number,
    x: number,
    xStride: number,
  ): void;
  gated(
    pool: number,
    gateUp: number,
    stride: number,
    out: number,
    outStride: number,
    tokens: number,
    hidden: number,
    activation: number,
  ): void;
  addScaled(x: number, scale: number, y: number, n: number): void;
  scale(y: number, scale: number, n: number): void;
  argmax(x: number, n: number): number;
}

/** Must equal PM_KERNELS_ABI of the header. */
const ABI = 1;

const HOW_TO_BUILD =
  'with a C++ compiler (Debian: apt-get install g++), npm run build:native makes the fast library';

export type LoadedLibrary =
  | { readonly library: NativeLibrary; readonly path: string; readonly reason: null }
  | { readonly library: null; readonly reason: string };

let loaded: LoadedLibrary | undefined;

/**
 * The native library, loaded once per thread; or null and the reason in plain words.
 * POCKETMOE_NATIVE=0 turns it off, POCKETMOE_LIBRARY names another file.
 */
export function nativeLibrary(): LoadedLibrary {
  return (loaded ??= load());
}

function load(): LoadedLibrary {
  if (process.env['POCKETMOE_NATIVE'] === '0')
    return { library: null, reason: 'POCKETMOE_NATIVE=0 turns the native library off' };
  const path = process.env['POCKETMOE_LIBRARY'] ?? builtLibrary();
  if (path === null) return { library: null, reason: 'the folder of the pocketmoe package was not found' };
  if (!existsSync(path)) return { library: null, reason: `${path} does not exist; ${HOW_TO_BUILD}` };
  try {
    return bind(path);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { library: null, reason: `${path} does not load (${message}); ${HOW_TO_BUILD}` };
  }
}

/** build/libpocketmoe.so of the package this file belongs to. */
function builtLibrary(): string | null {
  const root = packageRoot();
  return root === null ? null : join(root, 'build', 'libpocketmoe.so');
}

function bind(path: string): LoadedLibrary {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const file = koffi.load(path);
  const I = 'int32_t';
  const L = 'int64_t'; // addresses, strides and counts: numbers pass without a BigInt being made
  const F = 'float';
  const bound = (name: string, result: string, ...parameters: string[]) =>
    file.func(name, result, parameters);
  const abi = bound('pm_kernels_abi', I)() as number;
  if (abi !== ABI)
    return {
      library: null,
      reason: `${path} has interface ${abi}, this version needs ${ABI}; run npm run build:native`,
    };
  return {
    reason: null,
    path,
    library: {
      isa: bound('pm_isa', 'const char *'),
      alloc: bound('pm_alloc', L, 'size_t'),
      release: bound('pm_release', 'void', L, 'size_t'),
      view: (address, bytes) => koffi.view(address, bytes),
      poolCreate: bound('pm_pool_create', L, I),
      poolDestroy: bound('pm_pool_destroy', 'void', L),
      poolScratch: bound('pm_pool_scratch', L, L),
      linear: bound('pm_linear', 'void', L, L, I, L, L, L, L, I),
      embed: bound('pm_embed', 'void', L, L, I, L),
      rmsNorm: bound('pm_rms_norm', 'void', L, L, L, L, L, L, I, I, I, F),
      rope: bound('pm_rope', 'void', L, L, L, I, I, I, I, I, F, F, I, L),
      kvStore: bound('pm_kv_store', 'void', L, L, L, L, L, I, I, I, I, I),
      attention: bound('pm_attention', 'void', L, L, L, L, L, I, L, L, I, I, I, I, I, I, F),
      route: bound('pm_route', 'void', L, I, I, I, I, L, I, I, I, F, L, L),
      expertsFfn: bound('pm_experts_ffn', I, L, L, L, I, L, L, L, L, L, L, L),
      combine: bound('pm_combine', 'void', L, L, L, L, I, I, I, F, L, L),
      gated: bound('pm_gated', 'void', L, L, L, L, L, I, I, I),
      addScaled: bound('pm_add_scaled', 'void', L, F, L, L),
      scale: bound('pm_scale', 'void', L, F, L),
      argmax: bound('pm_argmax', I, L, I),
    },
  };
}
