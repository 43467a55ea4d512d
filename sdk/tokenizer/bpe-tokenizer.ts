import { ModelFormatError, OptionError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import { readByteText } from './byte-alphabet.js';
import { ByteStrings } from './byte-strings.js';
import { byteOf, byteTokens } from './byte-tokens.js';
import { Merges } from './merges.js';
import type { PreTokenizer } from './pre-tokenizers.js';
import { escapeSpaces, unescapeSpaces } from './spaces.js';
import { CONVERT_AGAIN, TokenKind } from './token-kind.js';
import type { Tokenizer, TokenStream } from './tokenizer.js';
import { characterBytes, wellFormed, writeUtf8 } from './utf8.js';
import { Utf8Stream } from './utf8-stream.js';
import { Vocabulary } from './vocabulary.js';
import { WordMerger } from './word-merger.js';

/** Ids are below 2³¹; symbols that are no string at all are below this: -2 minus the place of their first byte. */
const NO_STRING = -2;

/** Byte-pair encoding (tokenizer.ggml.model "gpt2" and its kin), built from GGUF metadata. */
export class BpeTokenizer implements Tokenizer {
  readonly size: number;
  readonly endIds: ReadonlySet<number>;
  readonly beginId: number | null;
  private readonly vocabulary: Vocabulary;
  /** Tokens by id, then other strings that merging can make. */
  private readonly strings: ByteStrings;
  /** Token that a string above the vocabulary's ids is, where its text and its bytes differ. */
  private readonly aliases = new Map<number, number>();
  private readonly merger: WordMerger;
  /** String of each byte; for plain text the token of each byte, or -1. */
  private readonly byteIds: Int32Array;
  private word = new Uint8Array(256);

  /** `where` names the model in messages. Throws ModelFormatError (model/tokenizer, model/metadata). */
  constructor(
    metadata: Metadata,
    private readonly rules: PreTokenizer,
    where: string,
  ) {
    const vocabulary = new Vocabulary(metadata, where, { begin: rules.begin });
    this.vocabulary = vocabulary;
    this.size = vocabulary.size;
    this.endIds = vocabulary.endIds;
    this.beginId = vocabulary.beginId;
    this.strings = new ByteStrings(this.size + 256, vocabulary.textBytes);
    this.readTokens(metadata);
    this.byteIds = rules.plainText
      ? byteTokens(this.strings, this.size)
      : Int32Array.from({ length: 256 }, (_, byte) => this.findOrAdd(Uint8Array.of(byte), 0, 1));
    this.merger = new WordMerger(this.readMerges(metadata, where));
  }

  encode(text: string, options: { special?: boolean } = {}): number[] {
    const ids: number[] = [];
    const emit = (id: number) => this.emit(id, ids);
    for (const part of this.vocabulary.specials.split(wellFormed(text), options.special ?? true))
      if (typeof part === 'number') ids.push(part);
      else
        this.rules.cut(this.rules.plainText ? escapeSpaces(part) : part, (word) =>
          this.encodeWord(word, emit),
        );
    return ids;
  }

  bytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size)
      throw new OptionError('option/token', `${id} is no token id`, `Ids go from 0 to ${this.size - 1}.`);
    const text = this.strings.get(id);
    switch (this.vocabulary.kinds[id]) {
      case TokenKind.Normal:
        return this.rules.plainText ? unescapeSpaces(text) : text.slice();
      case TokenKind.UserDefined:
        return text.slice();
      case TokenKind.Byte:
        return Uint8Array.of(byteOf(text));
      default:
        return new Uint8Array(0);
    }
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

  private encodeWord(text: string, emit: (id: number) => void): void {
    const { rules, byteIds, strings } = this;
    if (this.word.length < text.length * 3) this.word = new Uint8Array(text.length * 6);
    const { word } = this;
    const length = writeUtf8(text, word);
    if (rules.wholeWords || (rules.wholeLineEnds && word[0] === 0x0a)) {
      const whole = this.token(strings.find(word, 0, length));
      if (whole >= 0) return emit(whole);
    }
    const symbols = this.merger.symbols(length);
    let count = 0;
    if (rules.plainText)
      for (let at = 0, bytes; at < length; at += bytes) {
        bytes = characterBytes(word[at]!);
        const found = strings.find(word, at, bytes);
        symbols[count++] = found >= 0 ? found : NO_STRING - at;
      }
    else for (; count < length; count++) symbols[count] = byteIds[word[count]!]!;
    this.merger.merge(count, emit);
  }

  private emit(id: number, ids: number[]): void {
    if (id >= 0 && id < this.size) ids.push(id);
    else if (id >= 0) {
      const token = this.token(id);
      if (token >= 0) ids.push(token);
      else this.emitBytes(this.strings.get(id), ids);
    } else {
      const at = NO_STRING - id;
      this.emitBytes(this.word.subarray(at, at + characterBytes(this.word[at]!)), ids);
    }
  }

  /** What is no token is written byte by byte; bytes without a token are lost. */
  private emitBytes(bytes: Uint8Array, ids: number[]): void {
    for (const byte of bytes) {
      const id = this.token(this.byteIds[byte]!);
      if (id >= 0) ids.push(id);
    }
  }

  /** The token that a string is, or -1. */
  private token(string: number): number {
    return string < this.size ? string : (this.aliases.get(string) ?? -1);
  }

  /**
   * Normal tokens are kept as the bytes they stand for. Others stand for their text, which merging can make too: the
   * alphabet reads that text as other bytes, so these get a second string.
   */
  private readTokens(metadata: Metadata): void {
    const { kinds } = this.vocabulary;
    const buffer = new Uint8Array(this.vocabulary.longest);
    const differing: { id: number; bytes: Uint8Array }[] = [];
    metadata.eachString('tokenizer.ggml.tokens', (text, from, to, id) => {
      const length = this.rules.plainText ? -1 : readByteText(text, from, to, buffer, 0);
      if (kinds[id] === TokenKind.Normal && length >= 0) {
        this.strings.add(buffer, 0, length);
        this.strings.index(id);
        return;
      }
      this.strings.add(text, from, to - from);
      if (this.rules.plainText || length === to - from) this.strings.index(id);
      else if (length >= 0) differing.push({ id, bytes: buffer.slice(0, length) });
    });
    for (const { id, bytes } of differing) {
      const string = this.strings.add(bytes, 0, bytes.length);
      this.strings.index(string);
      this.aliases.set(string, id);
    }
  }

  private readMerges(metadata: Metadata, where: string): Merges {
    const { rules } = this;
    let count = 0;
    let longest = 0;
    metadata.eachString('tokenizer.ggml.merges', (_, from, to) => {
      count++;
      longest = Math.max(longest, to - from);
    });
    // The limit of the candidates' ranks; the largest vocabularies have 500,000.
    if (count >= 2 ** 21)
      throw new ModelFormatError('model/tokenizer', `${where} has ${count} merges`, CONVERT_AGAIN);
    const merges = new Merges(count);
    const buffer = new Uint8Array(longest);
    const read = (text: Uint8Array, from: number, to: number, at: number): number => {
      if (!rules.plainText) return readByteText(text, from, to, buffer, at);
      for (let i = from; i < to; i++) buffer[at + i - from] = text[i]!;
      return to - from;
    };
    metadata.eachString('tokenizer.ggml.merges', (text, from, to, index) => {
      let space = from + 1;
      while (space < to && text[space] !== 0x20) space++;
      if (space >= to - 1)
        throw new ModelFormatError(
          'model/tokenizer',
          `${where}: merge ${index} is not two symbols with a space between`,
          CONVERT_AGAIN,
        );
      const first = read(text, from, space, 0);
      // Symbols that stand for no bytes never occur in a word.
      if (first < 0) return;
      const second = read(text, space + 1, to, first);
      if (second < 0) return;
      const whole = this.findOrAdd(buffer, 0, first + second);
      const left = this.findOrAdd(buffer, 0, first);
      const right = this.findOrAdd(buffer, first, second);
      merges.add(left, right, whole);
    });
    return merges;
  }

  /** The number of a byte string, new above the vocabulary's ids if it is no token. */
  private findOrAdd(bytes: Uint8Array, from: number, length: number): number {
    const found = this.strings.find(bytes, from, length);
    if (found >= 0) return found;
    const string = this.strings.add(bytes, from, length);
    this.strings.index(string);
    return string;
  }
}
