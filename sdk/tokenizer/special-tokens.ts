/** A token that is recognised by its name in a text, before the text is cut into words. */
export interface SpecialToken {
  readonly id: number;
  readonly text: string;
  /** Control tokens are recognised only on request; tokens added by the model's makers always. */
  readonly control: boolean;
  /** White space before or after it belongs to it. */
  readonly stripLeft?: boolean;
  readonly stripRight?: boolean;
}

/** Parts of a text: plain strings, and ids where a special token's name stood. */
export type TextPart = string | number;

const SPACES = ' \t\n\v\f\r';

/** Finds special tokens; a longer name goes before a shorter one, wherever the two overlap. */
export class SpecialTokens {
  private readonly longestFirst: readonly SpecialToken[];
  /** Tokens by the first character of their names, as indices of longestFirst: some vocabularies have thousands. */
  private readonly byFirst = new Map<number, number[]>();

  constructor(tokens: readonly SpecialToken[]) {
    const length = new Map(tokens.map((token) => [token, Buffer.byteLength(token.text)]));
    this.longestFirst = tokens
      .filter((token) => token.text.length > 0)
      .sort((a, b) => length.get(b)! - length.get(a)! || a.id - b.id);
    this.longestFirst.forEach(({ text }, index) => {
      const known = this.byFirst.get(text.charCodeAt(0));
      if (known) known.push(index);
      else this.byFirst.set(text.charCodeAt(0), [index]);
    });
  }

  /** Cuts a text at special tokens; at control tokens only when `control` is true. */
  split(text: string, control: boolean): TextPart[] {
    let parts: TextPart[] = [text];
    for (const index of this.present(text, control))
      parts = parts.flatMap((part) =>
        typeof part === 'string' ? cut(part, this.longestFirst[index]!) : [part],
      );
    return parts;
  }

  /** Indices of the tokens whose names are somewhere in the text, the longest first. */
  private present(text: string, control: boolean): number[] {
    const found = new Set<number>();
    for (let at = 0; at < text.length; at++)
      for (const index of this.byFirst.get(text.charCodeAt(at)) ?? []) {
        const token = this.longestFirst[index]!;
        if ((control || !token.control) && !found.has(index) && text.startsWith(token.text, at))
          found.add(index);
      }
    return [...found].sort((a, b) => a - b);
  }
}

function cut(text: string, token: SpecialToken): TextPart[] {
  const parts: TextPart[] = [];
  const add = (part: string) => {
    if (part !== '') parts.push(part);
  };
  let from = 0;
  for (let at = text.indexOf(token.text); at >= 0; at = text.indexOf(token.text, from)) {
    const before = text.slice(from, at);
    add(token.stripLeft ? trimmed(before) : before);
    parts.push(token.id);
    from = at + token.text.length;
    while (token.stripRight && from < text.length && SPACES.includes(text[from]!)) from++;
  }
  add(text.slice(from));
  return parts;
}

function trimmed(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}
