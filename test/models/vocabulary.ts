import { closeSync, openSync, readSync } from 'node:fs';
import type { GgufHeader } from './gguf-header.js';

const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + " +
  "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/**
 * Adds a made-up byte-level vocabulary: the 256 bytes, then tokens that append one byte to an earlier token (each with
 * its merge), then the three ChatML tokens. Needs a size of 259 or more; throws RangeError below.
 */
export function addSyntheticVocabulary(header: GgufHeader, size: number): void {
  if (!Number.isInteger(size) || size < 259) throw new RangeError(`a vocabulary needs 259 tokens, not ${size}`);
  const tokens = byteCharacters();
  const merges: string[] = [];
  for (let id = 256; id < size - SPECIALS.length; id++) {
    const first = tokens[Math.floor((id - 256) / 256)]!;
    const second = tokens[(id - 256) % 256]!;
    tokens.push(first + second);
    merges.push(`${first} ${second}`);
  }
  // llama.cpp refuses an empty list of merges.
  if (merges.length === 0) merges.push(`${tokens[0]} ${tokens[0]}`);
  tokens.push(...SPECIALS);
  header.string('tokenizer.ggml.model', 'gpt2');
  header.string('tokenizer.ggml.pre', 'qwen2');
  header.strings('tokenizer.ggml.tokens', tokens);
  header.int32s(
    'tokenizer.ggml.token_type',
    tokens.map((_, id) => (id < size - SPECIALS.length ? 1 : 3)),
  );
  header.strings('tokenizer.ggml.merges', merges);
  header.uint32('tokenizer.ggml.eos_token_id', size - 1);
  header.uint32('tokenizer.ggml.bos_token_id', size - 3);
  header.uint32('tokenizer.ggml.padding_token_id', size - 3);
  header.boolean('tokenizer.ggml.add_bos_token', false);
  header.string('tokenizer.chat_template', CHATML);
}

/** Adds the tokenizer.* entries of a GGUF file as they are; returns the number of tokens. */
export function copyVocabulary(header: GgufHeader, path: string): number {
  const bytes = readHead(path);
  let at = 24;
  let size = 0;
  const uint64 = () => {
    at += 8;
    return Number(bytes.readBigUInt64LE(at - 8));
  };
  /** Passes a value; returns how many elements it had. */
  const skip = (type: number): number => {
    if (type !== 9) {
      const length = type === 8 ? uint64() : SCALAR_BYTES[type]!;
      at += length;
      return 1;
    }
    const element = bytes.readUInt32LE(at);
    at += 4;
    const count = uint64();
    if (element === 8) for (let i = 0; i < count; i++) skip(8);
    else at += count * SCALAR_BYTES[element]!;
    return count;
  };
  for (let left = Number(bytes.readBigUInt64LE(16)); left > 0; left--) {
    const start = at;
    const length = uint64();
    const key = bytes.toString('utf8', at, at + length);
    at += length + 4;
    const value = skip(bytes.readUInt32LE(at - 4));
    if (key === 'tokenizer.ggml.tokens') size = value;
    if (key.startsWith('tokenizer.')) header.raw(bytes.subarray(start, at));
  }
  return size;
}

const SCALAR_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** The metadata of a trusted file lies in its first 32 MiB, whatever the size of its weights. */
function readHead(path: string): Buffer {
  const bytes = Buffer.alloc(32 << 20);
  const file = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(file);
  }
}

/** Byte-level BPE writes each byte as a printable character; the others are moved to U+0100 and up, in order. */
function byteCharacters(): string[] {
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(printable ? byte : 256 + moved++);
  });
}
