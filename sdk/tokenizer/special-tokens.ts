/** A token that is recognised by its name in a text, before the text is cut into words. */
export interface SpecialToken {
  readonly id: number;
  readonly text: string;
  /** Control tokens are recognised only on request; tokens added by the model's makers always. */
  readonly control: boolean;
}

/** Parts of a text: plain strings, and ids where a special token's name stood. */
export type TextPart = string | number;

/** Finds special tokens; a longer name goes before a shorter one, wherever the two overlap. */
export class SpecialTokens {
  private readonly longestFirst: readonly SpecialToken[];

  constructor(tokens: readonly SpecialToken[]) {
    this.longestFirst = tokens
      .filter((token) => token.text.length > 0)
      .sort((a, b) => Buffer.byteLength(b.text) - Buffer.byteLength(a.text) || a.id - b.id);
  }

  /** Cuts a text at special tokens; at control tokens only when `control` is true. */
  split(text: string, control: boolean): TextPart[] {
    let parts: TextPart[] = [text];
    for (const token of this.longestFirst) {
      if (token.control && !control) continue;
      if (!text.includes(token.text)) continue;
      parts = parts.flatMap((part) => (typeof part === 'string' ? cut(part, token) : [part]));
    }
    return parts;
  }
}

function cut(text: string, token: SpecialToken): TextPart[] {
  const parts: TextPart[] = [];
  let from = 0;
  for (let at = text.indexOf(token.text); at >= 0; at = text.indexOf(token.text, from)) {
    if (at > from) parts.push(text.slice(from, at));
    parts.push(token.id);
    from = at + token.text.length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}
