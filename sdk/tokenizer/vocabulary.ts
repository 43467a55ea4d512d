import { ModelFormatError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import { END_NAMES, FILL_NAMES, KNOWN_NAMES, SHOWN_NAMES } from './known-names.js';
import { SpecialTokens, type SpecialToken } from './special-tokens.js';
import { CONVERT_AGAIN, readTokenKinds, TokenKind } from './token-kind.js';

/** Longest known name in bytes of UTF-8. */
const LONGEST_NAME = 40;
/** First bytes of known names; ▁ begins many tokens of some vocabularies, but few known names. */
const LESS_THAN = 0x3c;
const BRACKET = 0x5b;
const UNDERSCORE = 0x5f;
const BLOCK = 0xe2;

export interface VocabularyDefaults {
  /** Begin-of-sequence id where the file gives none. */
  readonly beginId?: number;
  readonly endId?: number;
  /** Whether texts begin with it: if the file says so, unless it says otherwise, or always. */
  readonly begin: 'asked' | 'unless-refused' | 'always';
}

/** What all kinds of tokenizers read alike: kinds of tokens, special tokens, begin and end ids. */
export class Vocabulary {
  readonly size: number;
  /** {@link TokenKind} of each token, corrected where files are known to be wrong. */
  readonly kinds: Uint8Array;
  readonly specials: SpecialTokens;
  readonly endIds: ReadonlySet<number>;
  readonly beginId: number | null;
  /** Bytes of UTF-8 of all tokens, and of the longest. */
  readonly textBytes: number;
  readonly longest: number;
  private readonly named = new Map<string, number>();

  /** `where` names the model in messages. Throws ModelFormatError (model/tokenizer, model/metadata). */
  constructor(
    private readonly metadata: Metadata,
    private readonly where: string,
    defaults: VocabularyDefaults,
  ) {
    let textBytes = 0;
    let longest = 0;
    this.size = metadata.eachString('tokenizer.ggml.tokens', (bytes, from, to, id) => {
      textBytes += to - from;
      longest = Math.max(longest, to - from);
      if (!mayBeKnown(bytes, from, to)) return;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString();
      if (KNOWN_NAMES.has(text)) this.named.set(text, id);
    });
    // The limit of the candidates' ranks when merging; the largest vocabularies have 262,144.
    if (this.size >= 2 ** 21)
      throw new ModelFormatError('model/tokenizer', `${where} has ${this.size} tokens`, CONVERT_AGAIN);
    this.textBytes = textBytes;
    this.longest = longest;
    this.kinds = readTokenKinds(metadata, this.size, where);
    this.endIds = this.findEnds(defaults);
    this.specials = new SpecialTokens(this.findSpecials());
    this.beginId = this.findBegin(defaults);
  }

  private findEnds(defaults: VocabularyDefaults): ReadonlySet<number> {
    const { kinds, named } = this;
    const ids = new Set<number>();
    for (const name of ['eos', 'eot', 'eom']) {
      const id = this.id(name) ?? (name === 'eos' ? this.inRange(defaults.endId) : undefined);
      if (id !== undefined) ids.add(id);
    }
    for (const { keys, names, ends } of FILL_NAMES) {
      let id = keys.map((key) => this.id(key)).find((found) => found !== undefined);
      if (id === undefined) {
        id = names.map((name) => named.get(name)).find((found) => found !== undefined);
        if (id !== undefined) kinds[id] = TokenKind.Control;
      }
      if (ends && id !== undefined) ids.add(id);
    }
    for (const [text, id] of named)
      if (END_NAMES.has(text)) {
        ids.add(id);
        kinds[id] = TokenKind.Control;
      } else if (SHOWN_NAMES.has(text)) kinds[id] = TokenKind.UserDefined;
    const ends = (...texts: string[]) => texts.every((text) => ids.has(named.get(text) ?? -1));
    // Where answers have several parts, <|end|> only ends one of them.
    const parts =
      (ends('<|return|>') && (ends('<|call|>') || ends('<|calls|>'))) ||
      ((ends('<|call|>') || ends('<|calls|>')) && ends('<|flush|>'));
    if (parts && ends('<|end|>')) this.change(ids, '<|end|>', TokenKind.UserDefined);
    // Gemma 4 has HTML's tags as tokens; </s> is strike-through there.
    if (ends('<|tool_response>', '</s>')) this.change(ids, '</s>', TokenKind.Normal);
    return ids;
  }

  private change(ends: Set<number>, text: string, kind: number): void {
    const id = this.named.get(text)!;
    ends.delete(id);
    this.kinds[id] = kind;
  }

  private findSpecials(): SpecialToken[] {
    const { kinds } = this;
    const strips = stripRule(this.metadata);
    const specials: SpecialToken[] = [];
    this.metadata.eachString('tokenizer.ggml.tokens', (bytes, from, to, id) => {
      const kind = kinds[id]!;
      if (kind !== TokenKind.Control && kind !== TokenKind.UserDefined && kind !== TokenKind.Unknown) return;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString();
      specials.push({ id, text, control: kind !== TokenKind.UserDefined, ...strips(text) });
    });
    return specials;
  }

  private findBegin({ begin, beginId }: VocabularyDefaults): number | null {
    const asked = this.metadata.booleanOr('tokenizer.ggml.add_bos_token', begin !== 'asked');
    if (!asked && begin !== 'always') return null;
    return this.id('bos') ?? this.inRange(beginId) ?? null;
  }

  private inRange(id: number | undefined): number | undefined {
    return id !== undefined && id < this.size ? id : undefined;
  }

  /** The id that a key gives, or undefined when the file has none. */
  private id(name: string): number | undefined {
    const key = `tokenizer.ggml.${name}_token_id`;
    if (!this.metadata.has(key)) return undefined;
    const id = this.metadata.number(key);
    if (Number.isInteger(id) && id >= 0 && id < this.size) return id;
    throw new ModelFormatError(
      'model/tokenizer',
      `${this.where}: ${key} is ${id}, but ids go from 0 to ${this.size - 1}`,
      CONVERT_AGAIN,
    );
  }
}

function mayBeKnown(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from > LONGEST_NAME || to === from) return false;
  const first = bytes[from];
  if (first === BLOCK) return bytes[from + 3] === LESS_THAN;
  return first === LESS_THAN || first === BRACKET || first === UNDERSCORE;
}

/** Files do not say which special tokens take the white space beside them; llama.cpp knows it by the model's name. */
function stripRule(metadata: Metadata): (text: string) => { stripLeft?: true; stripRight?: true } {
  const pre = metadata.stringOr('tokenizer.ggml.pre', '');
  const architecture = metadata.stringOr('general.architecture', '');
  const name = metadata.stringOr('general.name', '').toLowerCase();
  if (/jina-v2-(de|es|code)/.test(pre) || /nomic-bert-moe|jina-bert-v3/.test(architecture))
    return (text) => (text === '<mask>' ? { stripLeft: true } : {});
  if (/phi-?3/.test(name))
    return (text) => (/^(<unk>|<s>|<\|endoftext\|>)$/.test(text) ? {} : { stripRight: true });
  if (name.includes('modern-bert')) return (text) => (text === '[MASK]' ? { stripLeft: true } : {});
  return () => ({});
}
