/**
 * How text is cut into words before merging, by the name in tokenizer.ggml.pre. Each pattern matches every character,
 * so the words in a row are the text.
 *
 * White space is the Unicode property, not JavaScript's \s, which lacks U+0085 and has U+FEFF.
 */
const PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  [
    'qwen2',
    // Contractions; letters with one sign before them; single digits; other signs with line ends after them;
    // line ends; white space but the one before a word; what white space is left.
    pattern(
      "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])",
      '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
      '\\p{N}',
      ' ?[^\\p{White_Space}\\p{L}\\p{N}]+[\\r\\n]*',
      '\\p{White_Space}*[\\r\\n]+',
      '\\p{White_Space}+(?!\\P{White_Space})',
      '\\p{White_Space}+',
    ),
  ],
]);

export const PRE_TOKENIZERS: readonly string[] = [...PATTERNS.keys()];

/** A global pattern for `name`, or undefined when it is not known. */
export function preTokenizer(name: string): RegExp | undefined {
  const known = PATTERNS.get(name);
  return known && new RegExp(known);
}

function pattern(...alternatives: string[]): RegExp {
  return new RegExp(alternatives.join('|'), 'gu');
}
