import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';

/** A native address; koffi writes pointers as BigInt, null for NULL. */
export type Pointer = bigint | null;

/** The part of `struct llama_model_params` that is read or set here; the rest keeps its default. */
export interface ModelParams {
  n_gpu_layers: number;
  use_extra_bufts: boolean;
  vocab_only: boolean;
}

/** The part of `struct llama_context_params` that is set here. */
export interface ContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_threads: number;
  n_threads_batch: number;
  flash_attn_type: number;
  type_k: number;
  type_v: number;
  no_perf: boolean;
}

export interface Batch {
  n_tokens: number;
  token: Pointer;
  embd: Pointer;
  pos: Pointer;
  n_seq_id: Pointer;
  seq_id: Pointer;
  logits: Pointer;
}

const PACKAGE = `@node-llama-cpp/linux-${process.arch}`;

/** Field order follows include/llama.h of the release inside the npm package (llama.cpp v0.5.0). */
const modelParams = koffi.struct({
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int',
  load_mode: 'int',
  lazy_mode: 'int',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
});

const contextParams = koffi.struct({
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int',
  rope_scaling_type: 'int',
  pooling_type: 'int',
  attention_type: 'int',
  flash_attn_type: 'int',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int',
  type_v: 'int',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
});

const batch = koffi.struct({
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
});

function libraryFolder(): string {
  // The package exports neither its package.json nor a CommonJS entry, so it is found by path.
  const path = `../../node_modules/${PACKAGE}/bins/linux-${process.arch}`;
  const folder = fileURLToPath(new URL(path, import.meta.url));
  if (!existsSync(folder)) throw new Error(`${folder} is missing; run npm install`);
  return folder;
}

/** Library files carry their version in the name, so they are found by pattern. */
function libraryFile(folder: string, pattern: RegExp): string {
  const name = readdirSync(folder).find((file) => pattern.test(file));
  if (!name) throw new Error(`${folder} holds no library like ${pattern}`);
  return join(folder, name);
}

function load() {
  const folder = libraryFolder();
  const ggml = koffi.load(libraryFile(folder, /^libggml(\.v[\d.]+)?\.so$/));
  const llama = koffi.load(libraryFile(folder, /^libllama(\.v[\d.]+)?\.so$/));
  const libc = koffi.load('libc.so.6');
  const text = 'const char *';

  // A JavaScript callback must not be called from llama.cpp's threads, so the log goes to a function of the
  // library that ignores its arguments and does nothing.
  if (!process.env['POCKETMOE_PEER_LOG'])
    llama.func('llama_log_set', 'void', ['void *', 'void *'])(llama.symbol('llama_max_devices'), null);
  // The library outlives a jest test file, and so does its registry of backends.
  if (ggml.func('ggml_backend_reg_count', 'size_t', [])() === 0)
    ggml.func('ggml_backend_load_all_from_path', 'void', [text])(folder);
  llama.func('llama_backend_init', 'void', [])();

  return {
    modelDefaults: llama.func('llama_model_default_params', modelParams, []) as () => ModelParams,
    contextDefaults: llama.func('llama_context_default_params', contextParams, []) as () => ContextParams,
    loadModel: llama.func('llama_model_load_from_file', 'void *', [text, modelParams]) as (
      path: string,
      params: ModelParams,
    ) => Pointer,
    freeModel: llama.func('llama_model_free', 'void', ['void *']) as (model: Pointer) => void,
    createContext: llama.func('llama_init_from_model', 'void *', ['void *', contextParams]) as (
      model: Pointer,
      params: ContextParams,
    ) => Pointer,
    freeContext: llama.func('llama_free', 'void', ['void *']) as (context: Pointer) => void,
    vocabulary: llama.func('llama_model_get_vocab', 'void *', ['void *']) as (model: Pointer) => Pointer,
    vocabularySize: llama.func('llama_vocab_n_tokens', 'int32_t', ['void *']) as (
      vocabulary: Pointer,
    ) => number,
    isEnd: llama.func('llama_vocab_is_eog', 'bool', ['void *', 'int32_t']) as (
      v: Pointer,
      id: number,
    ) => boolean,
    begin: llama.func('llama_vocab_bos', 'int32_t', ['void *']) as (vocabulary: Pointer) => number,
    tokenize: llama.func('llama_tokenize', 'int32_t', [
      'void *',
      'void *',
      'int32_t',
      'void *',
      'int32_t',
      'bool',
      'bool',
    ]) as (
      vocabulary: Pointer,
      utf8: Uint8Array,
      bytes: number,
      ids: Int32Array,
      room: number,
      addBegin: boolean,
      special: boolean,
    ) => number,
    piece: llama.func('llama_token_to_piece', 'int32_t', [
      'void *',
      'int32_t',
      'void *',
      'int32_t',
      'int32_t',
      'bool',
    ]) as (
      vocabulary: Pointer,
      id: number,
      bytes: Uint8Array,
      room: number,
      strip: number,
      special: boolean,
    ) => number,
    decode: llama.func('llama_decode', 'int32_t', ['void *', batch]) as (
      context: Pointer,
      b: Batch,
    ) => number,
    synchronize: llama.func('llama_synchronize', 'void', ['void *']) as (context: Pointer) => void,
    logitsAt: llama.func('llama_get_logits_ith', 'void *', ['void *', 'int32_t']) as (
      context: Pointer,
      index: number,
    ) => Pointer,
    memory: llama.func('llama_get_memory', 'void *', ['void *']) as (context: Pointer) => Pointer,
    clearMemory: llama.func('llama_memory_clear', 'void', ['void *', 'bool']) as (
      m: Pointer,
      data: boolean,
    ) => void,
    copyOut: libc.func('memcpy', 'void *', ['void *', 'void *', 'size_t']) as (
      to: NodeJS.TypedArray,
      from: Pointer,
      bytes: number,
    ) => Pointer,
    copyIn: libc.func('memcpy', 'void *', ['void *', 'void *', 'size_t']) as (
      to: Pointer,
      from: NodeJS.TypedArray,
      bytes: number,
    ) => Pointer,
    allocate: libc.func('malloc', 'void *', ['size_t']) as (bytes: number) => Pointer,
    release: libc.func('free', 'void', ['void *']) as (memory: Pointer) => void,
  };
}

export type LlamaLibrary = ReturnType<typeof load>;

let loaded: LlamaLibrary | undefined;

/**
 * llama.cpp's C interface, from the prebuilt library inside the npm package. Loaded once.
 * Its log is silent unless POCKETMOE_PEER_LOG is set in the environment. Throws Error when the package is missing.
 */
export function llamaLibrary(): LlamaLibrary {
  loaded ??= load();
  return loaded;
}
