import { ModelFormatError, OptionError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import { ByteStrings } from './byte-strings.js';
import { byteOf, byteTokens } from './byte-tokens.js';
import { escapeSpaces, unescapeSpaces } from './spaces.js';
import { SpmMerger } from './spm-merger.js';
import { CONVERT_AGAIN, TokenKind } from './token-kind.js';
import type { Tokenizer, TokenStream } from './tokenizer.js';
import { wellFormed, writeUtf8 } from './utf8.js';
import { Utf8Stream } from './utf8-stream.js';
import { Vocabulary } from './vocabulary.js';

/** Ids of files that give none. */
const UNKNOWN_ID = 0;
const BEGIN_ID = 1;
const END_ID = 2;

/** SentencePiece vocabularies of scored tokens (tokenizer.ggml.model "llama"), built from GGUF metadata. */
export class SpmTokenizer implements Tokenizer {
  readonly size: number;
  readonly endIds: ReadonlySet<number>;
  readonly beginId: number | null;
  private readonly vocabulary: Vocabulary;
  private readonly strings: ByteStrings;
  private readonly merger: SpmMerger;
  private readonly byteIds: Int32Array;
  private readonly unknownId: number;
  /** Text at the start and after special tokens begins with a space, which decoding takes away again. */
  private readonly addSpace: boolean;
  private text = new Uint8Array(256);

  /** `where` names the model in messages. Throws ModelFormatError (model/tokenizer, model/metadata). */
  constructor(metadata: Metadata, where: string) {
    const vocabulary = new Vocabulary(metadata, where, {
      begin: 'unless-refused',
      beginId: BEGIN_ID,
      endId: END_ID,
    });
    this.vocabulary = vocabulary;
    this.size = vocabulary.size;
    this.endIds = vocabulary.endIds;
    this.beginId = vocabulary.beginId;
    this.addSpace = metadata.booleanOr('tokenizer.ggml.add_space_prefix', true);
    this.unknownId = metadata.numberOr('tokenizer.ggml.unknown_token_id', UNKNOWN_ID);
    this.strings = new ByteStrings(this.size, vocabulary.textBytes);
    metadata.eachString('tokenizer.ggml.tokens', (text, from, to, id) => {
      this.strings.add(text, from, to - from);
      this.strings.index(id);
    });
    this.byteIds = byteTokens(this.strings, this.size);
    this.merger = new SpmMerger(this.strings, readRanks(metadata, this.size, where), vocabulary.longest);
  }

  encode(text: string, options: { special?: boolean } = {}): number[] {
    const ids: number[] = [];
    let begins = true;
    for (const part of this.vocabulary.specials.split(wellFormed(text), options.special ?? true))
      if (typeof part === 'number') {
        ids.push(part);
        begins = true;
      } else if (part !== '') {
        this.encodePlain(this.addSpace && begins ? ` ${part}` : part, ids);
        begins = false;
      }
    return ids;
  }

  bytes(id: number): Uint8Array {
    if (!Number.isInteger(id) || id < 0 || id >= this.size)
      throw new OptionError('option/token', `${id} is no token id`, `Ids go from 0 to ${this.size - 1}.`);
    const text = this.strings.get(id);
    switch (this.vocabulary.kinds[id]) {
      case TokenKind.Normal:
        return unescapeSpaces(text);
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

  stream(previous?: number): TokenStream {
    let first = this.addSpace && (previous === undefined || this.isSpecial(previous));
    return new Utf8Stream((id) => {
      const bytes = this.bytes(id);
      const added = first && bytes[0] === 0x20;
      first = false;
      return added ? bytes.subarray(1) : bytes;
    });
  }

  private isSpecial(id: number): boolean {
    const kind = this.vocabulary.kinds[id];
    return kind === TokenKind.Control || kind === TokenKind.UserDefined || kind === TokenKind.Unknown;
  }

  private encodePlain(part: string, ids: number[]): void {
    const escaped = escapeSpaces(part);
    if (this.text.length < escaped.length * 3) this.text = new Uint8Array(escaped.length * 3);
    const { text } = this;
    this.merger.merge(text, writeUtf8(escaped, text), (from, to) => {
      const id = this.strings.find(text, from, to - from);
      if (id >= 0) ids.push(id);
      else for (let i = from; i < to; i++) ids.push(this.byteToken(text[i]!));
    });
  }

  /** Vocabularies without tokens for bytes have bytes that are nothing they know. */
  private byteToken(byte: number): number {
    const id = this.byteIds[byte]!;
    if (id >= 0) return id;
    const plain = this.strings.find(Uint8Array.of(byte), 0, 1);
    return plain >= 0 ? plain : this.unknownId;
  }
}

/** Scores as ranks: 0 is the best, equal scores have equal ranks. Without scores all are equal. */
function readRanks(metadata: Metadata, size: number, where: string): Int32Array {
  const ranks = new Int32Array(size);
  if (!metadata.has('tokenizer.ggml.scores')) return ranks;
  const scores = metadata.numbers('tokenizer.ggml.scores');
  if (scores.length !== size)
    throw new ModelFormatError(
      'model/tokenizer',
      `${where} has ${size} tokens but ${scores.length} scores`,
      CONVERT_AGAIN,
    );
  const bad = scores.findIndex((score) => Number.isNaN(score));
  if (bad >= 0)
    throw new ModelFormatError(
      'model/tokenizer',
      `${where}: the score of token ${bad} is NaN`,
      CONVERT_AGAIN,
    );
  const order = Int32Array.from(ranks, (_, id) => id).sort((a, b) => scores[b]! - scores[a]! || a - b);
  let rank = 0;
  order.forEach((id, place) => {
    if (place > 0 && scores[id] !== scores[order[place - 1]!]) rank++;
    ranks[id] = rank;
  });
  return ranks;
}
