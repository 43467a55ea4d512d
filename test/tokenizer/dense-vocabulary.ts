import { writeFileSync } from 'node:fs';
import { GgufHeader } from '../models/gguf-header.js';
import { Random } from '../models/random.js';

const BYTE = 6;
const CONTROL = 3;

/**
 * Writes a GGUF file without tensors whose vocabulary merges many random pairs of symbols in random order, and some of
 * those again: wherever two ways of cutting text into words differ, ids are likely to differ.
 * `plainText`: tokens are characters with ▁ for spaces and <0xNN> for the rest, not bytes. The last token is "<|end|>",
 * the one before it, "<|begin|>", begins texts.
 */
export function writeDenseVocabulary(
  path: string,
  { model = 'gpt2', pre, plainText = false }: { model?: string; pre: string; plainText?: boolean },
): void {
  const random = new Random('dense vocabulary');
  const symbols = plainText ? characters() : bytes();
  const tokens = plainText ? [...byteNames(), ...symbols] : [...symbols];
  const types: number[] = tokens.map((_, id) => (plainText && id < 256 ? BYTE : 1));
  const known = new Set(tokens);
  const merges: string[] = [];
  const add = (first: string, second: string) => {
    if (known.has(first + second)) return;
    known.add(first + second);
    tokens.push(first + second);
    types.push(1);
    merges.push(`${first} ${second}`);
  };
  const one = () => symbols[random.below(symbols.length)]!;
  // Printable ASCII and a space are half of the pairs: most of the texts consist of them.
  const plain = symbols.slice(0, 96);
  const usual = () => (random.below(2) ? plain[random.below(plain.length)]! : one());
  for (let i = 0; i < 7_000; i++) add(usual(), usual());
  const pairs = tokens.length;
  for (let i = 0; i < 3_000; i++) add(tokens[256 + random.below(pairs - 256)]!, usual());
  const size = tokens.push('<|begin|>', '<|end|>');
  types.push(CONTROL, CONTROL);

  const header = new GgufHeader();
  header.string('general.architecture', 'llama');
  header.string('tokenizer.ggml.model', model);
  header.string('tokenizer.ggml.pre', pre);
  header.strings('tokenizer.ggml.tokens', tokens);
  header.int32s('tokenizer.ggml.token_type', types);
  header.strings('tokenizer.ggml.merges', merges);
  header.uint32('tokenizer.ggml.bos_token_id', size - 2);
  header.uint32('tokenizer.ggml.eos_token_id', size - 1);
  writeFileSync(path, header.bytes([], 32));
}

/** The byte-level alphabet: printable ASCII and the space first. */
function bytes(): string[] {
  const printable: string[] = [];
  const others: string[] = [];
  let moved = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const itself = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    const character = String.fromCodePoint(itself ? byte : moved++);
    (byte >= 0x20 && byte < 0x7f ? printable : others).push(character);
  }
  return [...printable, ...others];
}

function byteNames(): string[] {
  return Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
}

function characters(): string[] {
  const ascii = Array.from({ length: 95 }, (_, i) => (i === 0 ? '▁' : String.fromCharCode(0x20 + i)));
  return [...ascii, ...'\n\r\täöüßéèжшаего世界人中日本語かな한국어١٢३½🏡👍👩\u0301\u200d\u00a0'];
}
