import { WEIGHT_TYPES, rowBytes } from '../../kernels/weight-type.js';

/** A metadata value with its GGUF type. Arrays carry the type of their elements. */
export type Value =
  | { type: number; value: number | bigint | string | boolean }
  | { type: 9; of: number; value: readonly (number | bigint | string | boolean | Value)[] };

export interface Tensor {
  name: string;
  type: number;
  shape: number[];
  data: Uint8Array;
}

/** A small deterministic generator (mulberry32); returns integers below 2^32. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

export const string = (value: string): Value => ({ type: 8, value });
export const u32 = (value: number): Value => ({ type: 4, value });
export const strings = (value: readonly string[]): Value => ({ type: 9, of: 8, value });

/** A tensor of random bytes of the right size. */
export function tensor(name: string, type: number, shape: number[], next: () => number): Tensor {
  let length = rowBytes(type, shape[0]!);
  for (const n of shape.slice(1)) length *= n;
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = next();
  return { name, type, shape, data: new Uint8Array(words.buffer, 0, length) };
}

/** The bytes of a GGUF file. */
export function buildGguf(
  entries: Record<string, Value>,
  tensors: readonly Tensor[],
  { version = 3, alignment = 32 } = {},
): Buffer {
  const head = Buffer.alloc(24);
  head.write('GGUF');
  head.writeUInt32LE(version, 4);
  head.writeBigUInt64LE(BigInt(tensors.length), 8);
  head.writeBigUInt64LE(BigInt(Object.keys(entries).length), 16);
  const parts: Buffer[] = [head];
  for (const [key, value] of Object.entries(entries))
    parts.push(encodeString(key), number(4, value.type), encode(value));
  let offset = 0;
  for (const { name, type, shape, data } of tensors) {
    parts.push(encodeString(name), number(4, shape.length), ...shape.map((n) => number(10, n)));
    parts.push(number(4, type), number(10, offset));
    offset = up(offset + data.length, alignment);
  }
  const header = Buffer.concat(parts);
  const bytes = Buffer.alloc(up(header.length, alignment) + offset);
  header.copy(bytes);
  offset = up(header.length, alignment);
  for (const { data } of tensors) {
    bytes.set(data, offset);
    offset = up(offset + data.length, alignment);
  }
  return bytes;
}

/** A model with experts in some layers, of random bytes. `width` is the FFN width of an expert. */
export function smallModel({
  seed = 1,
  layers = 2,
  experts = 3,
  inputs = 64,
  width = 32,
  type = 2,
  vocabulary = 5,
} = {}): {
  entries: Record<string, Value>;
  tensors: Tensor[];
} {
  const next = generator(seed);
  const entries = {
    'general.architecture': string('smallthinker'),
    'general.name': string('Small'),
    'smallthinker.block_count': u32(layers),
    'smallthinker.expert_count': u32(experts),
    'tokenizer.ggml.tokens': strings(Array.from({ length: vocabulary }, (_, i) => `tökên ${i}`)),
    'tokenizer.ggml.scores': {
      type: 9,
      of: 6,
      value: Array.from({ length: vocabulary }, (_, i) => -i),
    } as Value,
    'tokenizer.ggml.add_bos_token': { type: 7, value: false },
  };
  const tensors = [tensor('token_embd.weight', 0, [inputs, vocabulary], next)];
  for (let layer = 0; layer < layers; layer++) {
    tensors.push(tensor(`blk.${layer}.attn_norm.weight`, 0, [inputs], next));
    tensors.push(tensor(`blk.${layer}.ffn_gate_exps.weight`, type, [inputs, width, experts], next));
    tensors.push(tensor(`blk.${layer}.ffn_up_exps.weight`, type, [inputs, width, experts], next));
    tensors.push(tensor(`blk.${layer}.ffn_down_exps.weight`, type, [width, inputs, experts], next));
  }
  return { entries, tensors };
}

export const KNOWN_TYPES = [...WEIGHT_TYPES.keys()];

function up(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([number(10, bytes.length), bytes]);
}

function encode(value: Value): Buffer {
  if (!('of' in value))
    return typeof value.value === 'string' ? encodeString(value.value) : number(value.type, value.value);
  const items = value.value.map((item) => {
    if (typeof item === 'object') return Buffer.concat('of' in item ? [encode(item)] : []);
    return typeof item === 'string' ? encodeString(item) : number(value.of, item);
  });
  return Buffer.concat([number(4, value.of), number(10, value.value.length), ...items]);
}

function number(type: number, value: number | bigint | boolean | string): Buffer {
  const n = Number(value);
  const b = Buffer.alloc(8);
  const write: Record<number, () => number> = {
    0: () => b.writeUInt8(n),
    1: () => b.writeInt8(n),
    2: () => b.writeUInt16LE(n),
    3: () => b.writeInt16LE(n),
    4: () => b.writeUInt32LE(n),
    5: () => b.writeInt32LE(n),
    6: () => b.writeFloatLE(n),
    7: () => b.writeUInt8(n),
    10: () => b.writeBigUInt64LE(BigInt(value)),
    11: () => b.writeBigInt64LE(BigInt(value)),
    12: () => b.writeDoubleLE(n),
  };
  return b.subarray(0, write[type]!());
}
