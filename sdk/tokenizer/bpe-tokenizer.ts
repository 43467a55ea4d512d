import { ModelFormatError, OptionError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import { readByteText } from './byte-alphabet.js';
import { ByteStrings } from './byte-strings.js';
import { Merges } from './merges.js';
import { SpecialTokens, type SpecialToken } from './special-tokens.js';
import type { Tokenizer, TokenStream } from './tokenizer.js';
import { Utf8Stream } from './utf8-stream.js';
import { WordMerger } from './word-merger.js';

/** Values of tokenizer.ggml.token_type. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/** Keys with ids that end an answer. */
const END_KEYS = [
  'tokenizer.ggml.eos_token_id',
  'tokenizer.ggml.eot_token_id',
  'tokenizer.ggml.eom_token_id',
];

/** Control tokens that end a turn or a text by their name: many files name only one of them in their keys. */
const END_NAMES = new Set([
  '<|im_end|>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<|end|>',
  '<|return|>',
  '<end_of_turn>',
  '</s>',
]);

const REPACK = 'The file is damaged or was converted wrongly; convert or download it again.';

/** Byte-level byte-pair encoding (tokenizer.ggml.model "gpt2"), built from GGUF metadata. */
export class BpeTokenizer implements Tokenizer {
  readonly size: number;
  readonly endIds: ReadonlySet<number>;
  readonly beginId: number | null;
  private readonly types: Uint8Array;
  /** Tokens by id, then results of merges that are no tokens themselves. */
  private readonly strings: ByteStrings;
  private readonly specials: SpecialTokens;
  private readonly merger: WordMerger;
  private readonly byteIds: Int32Array;

  /**
   * `pattern` cuts text into words (global, Unicode, matching everything); `where` names the model in messages.
   * Throws ModelFormatError (model/tokenizer, model/metadata) for lists that do not fit together.
   */
  constructor(
    metadata: Metadata,
    private readonly pattern: RegExp,
    where: string,
  ) {
    const tokens = metadata.strings('tokenizer.ggml.tokens');
    this.size = tokens.length;
    this.types = readTypes(metadata, tokens.length, where);
    this.strings = new ByteStrings(
      tokens.length + 256,
      tokens.reduce((sum, text) => sum + text.length, 0),
    );
    const specials: SpecialToken[] = [];
    let buffer = new Uint8Array(256);
    tokens.forEach((text, id) => {
      if (text.length > buffer.length) buffer = new Uint8Array(text.length);
      const type = this.types[id]!;
      const length = readByteText(text, 0, text.length, buffer, 0);
      if (type === NORMAL && length >= 0) {
        this.strings.add(buffer, 0, length);
        this.strings.index(id);
        return;
      }
      const utf8 = Buffer.from(text);
      this.strings.add(utf8, 0, utf8.length);
      if (type === CONTROL || type === USER_DEFINED || type === UNKNOWN)
        specials.push({ id, text, control: type !== USER_DEFINED });
    });
    this.specials = new SpecialTokens(specials);
    this.byteIds = Int32Array.from({ length: 256 }, (_, byte) => this.find(Uint8Array.of(byte), 0, 1));
    this.merger = new WordMerger(this.readMerges(metadata, where));
    this.endIds = readEndIds(metadata, specials, tokens.length, where);
    this.beginId = metadata.booleanOr('tokenizer.ggml.add_bos_token', false)
      ? readId(metadata, 'tokenizer.ggml.bos_token_id', tokens.length, where)
      : null;
  }

  encode(text: string, options: { special?: boolean } = {}): number[] {
    const ids: number[] = [];
    for (const part of this.specials.split(text, options.special ?? true))
      if (typeof part === 'number') ids.push(part);
      else this.encodePlain(part, ids);
    return ids;
  }

  bytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size)
      throw new OptionError('option/token', `${id} is no token id`, `Ids go from 0 to ${this.size - 1}.`);
    const type = this.types[id];
    return type === NORMAL || type === USER_DEFINED ? this.strings.get(id).slice() : new Uint8Array(0);
  }

  decode(ids: Iterable<number>): string {
    const stream = this.stream();
    let text = '';
    for (const id of ids) text += stream.push(id);
    return text + stream.end();
  }

  stream(): TokenStream {
    return new Utf8Stream((id) => this.bytes(id));
  }

  private encodePlain(text: string, ids: number[]): void {
    const emit = (id: number) => {
      if (id < this.size) ids.push(id);
      else for (const byte of this.strings.get(id)) this.emitByte(byte, ids);
    };
    this.pattern.lastIndex = 0;
    for (let match = this.pattern.exec(text); match; match = this.pattern.exec(text)) {
      const [word] = match;
      const symbols = this.merger.symbols(word.length * 3);
      this.merger.merge(this.readWord(word, symbols), emit);
    }
  }

  /** A result of merging that is no token is written byte by byte; bytes without a token are lost. */
  private emitByte(byte: number, ids: number[]): void {
    const id = this.byteIds[byte]!;
    if (id < this.size) ids.push(id);
  }

  /** UTF-8 of a word as ids of single bytes. Half a surrogate pair becomes U+FFFD, as everywhere in JavaScript. */
  private readWord(word: string, symbols: Int32Array): number {
    const { byteIds } = this;
    let count = 0;
    const put = (byte: number) => (symbols[count++] = byteIds[byte]!);
    for (let i = 0; i < word.length; i++) {
      let code = word.codePointAt(i)!;
      if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
      if (code < 0x80) put(code);
      else if (code < 0x800) {
        put(0xc0 | (code >> 6));
        put(0x80 | (code & 63));
      } else if (code < 0x10000) {
        put(0xe0 | (code >> 12));
        put(0x80 | ((code >> 6) & 63));
        put(0x80 | (code & 63));
      } else {
        i++;
        put(0xf0 | (code >> 18));
        put(0x80 | ((code >> 12) & 63));
        put(0x80 | ((code >> 6) & 63));
        put(0x80 | (code & 63));
      }
    }
    return count;
  }

  private readMerges(metadata: Metadata, where: string): Merges {
    const texts = metadata.strings('tokenizer.ggml.merges');
    // The limit of WordMerger's candidates; the largest vocabularies have 500,000.
    if (texts.length >= 2 ** 21)
      throw new ModelFormatError('model/tokenizer', `${where} has ${texts.length} merges`, REPACK);
    const merges = new Merges(texts.length);
    let buffer = new Uint8Array(256);
    texts.forEach((text, index) => {
      const space = text.indexOf(' ', 1);
      if (space < 0 || space === text.length - 1)
        throw new ModelFormatError(
          'model/tokenizer',
          `${where}: merge ${index} is not two symbols with a space between`,
          REPACK,
        );
      if (text.length > buffer.length) buffer = new Uint8Array(text.length);
      const first = readByteText(text, 0, space, buffer, 0);
      const second = readByteText(text, space + 1, text.length, buffer, space);
      // Symbols that stand for no bytes never occur in a word.
      if (first < 0 || second < 0) return;
      const whole = this.find(buffer, 0, first + second);
      const left = this.find(buffer, 0, first);
      const right = this.find(buffer, first, second);
      merges.add(left, right, whole);
    });
    return merges;
  }

  /** The id of a byte string, new above the vocabulary's ids if it is no token. */
  private find(bytes: Uint8Array, from: number, length: number): number {
    const found = this.strings.find(bytes, from, length);
    if (found >= 0) return found;
    const id = this.strings.add(bytes, from, length);
    this.strings.index(id);
    return id;
  }
}

function readTypes(metadata: Metadata, size: number, where: string): Uint8Array {
  if (!metadata.has('tokenizer.ggml.token_type')) return new Uint8Array(size).fill(NORMAL);
  const types = metadata.numbers('tokenizer.ggml.token_type');
  if (types.length !== size)
    throw new ModelFormatError(
      'model/tokenizer',
      `${where} has ${size} tokens but ${types.length} token types`,
      REPACK,
    );
  const bytes = new Uint8Array(size);
  for (let id = 0; id < size; id++) if (types[id]! < 256) bytes[id] = types[id]!;
  return bytes;
}

function readEndIds(
  metadata: Metadata,
  specials: readonly SpecialToken[],
  size: number,
  where: string,
): ReadonlySet<number> {
  const ids = new Set<number>();
  for (const key of END_KEYS) if (metadata.has(key)) ids.add(readId(metadata, key, size, where));
  for (const { id, text, control } of specials) if (control && END_NAMES.has(text)) ids.add(id);
  return ids;
}

function readId(metadata: Metadata, key: string, size: number, where: string): number {
  const id = metadata.number(key);
  if (Number.isInteger(id) && id >= 0 && id < size) return id;
  throw new ModelFormatError(
    'model/tokenizer',
    `${where}: ${key} is ${id}, but ids go from 0 to ${size - 1}`,
    REPACK,
  );
}
