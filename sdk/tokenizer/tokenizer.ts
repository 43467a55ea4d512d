/** Text ↔ token ids for one model. */
export interface Tokenizer {
  readonly size: number;
  /** Ids that end an answer (end-of-sequence, end-of-turn). */
  readonly endIds: ReadonlySet<number>;
  /** Begin-of-sequence id to prepend, or null when the model wants none. */
  readonly beginId: number | null;
  /**
   * Encodes text. With `special` (default true) the text of special tokens such as <|im_end|> becomes their id.
   * No begin-of-sequence id is added.
   */
  encode(text: string, options?: { special?: boolean }): number[];
  /** The bytes a token stands for; empty for control tokens. Throws OptionError for ids out of range. */
  bytes(id: number): Uint8Array;
  /** Decodes whole sequences; invalid UTF-8 becomes U+FFFD; control tokens are left out. */
  decode(ids: Iterable<number>): string;
  /**
   * A decoder that never emits half a UTF-8 character. `previous` is the id before, when the stream continues a text:
   * some vocabularies write a space before a text's first word and after special tokens, which is left out there and
   * kept elsewhere. Without it the stream begins a text.
   */
  stream(previous?: number): TokenStream;
}

export interface TokenStream {
  /** Text that became complete with this token; may be empty. */
  push(id: number): string;
  /** What is left, invalid bytes replaced. */
  end(): string;
}
