/** Hands out parts of a text, in order; together they are the text. */
export type Cut = (text: string, emit: (part: string) => void) => void;

/**
 * Cuts a text at every match of a pattern: matches and what lies between them are parts. In a pattern \s is white
 * space as Unicode has it (JavaScript's \s lacks U+0085 and has U+FEFF), \S everything else.
 */
export function cutAt(pattern: string): Cut {
  const source = pattern.replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}');
  const regex = new RegExp(source, 'gv');
  return (text, emit) => {
    let from = 0;
    regex.lastIndex = 0;
    for (let match = regex.exec(text); match; match = regex.exec(text)) {
      if (match.index > from) emit(text.slice(from, match.index));
      emit(match[0]);
      from = regex.lastIndex;
    }
    if (from < text.length) emit(from === 0 ? text : text.slice(from));
  };
}

/**
 * Cuts runs of digits into groups of three from the right, as one writes thousands. `digit` matches one digit. Cuts
 * after every group, so that the first stays with what stands before it, or before every group of three, so that the
 * last stays with what follows: two ways that llama.cpp has for different families.
 */
export function cutThousands(digit: string, where: 'after' | 'before'): Cut {
  const runs = new RegExp(`${digit}+`, 'gv');
  return (text, emit) => {
    let from = 0;
    const cut = (at: number) => {
      if (at > from) emit(text.slice(from, at));
      from = at;
    };
    for (const { index, 0: run } of text.matchAll(runs)) {
      const digits = Array.from(run);
      let at = index;
      digits.forEach((character, i) => {
        if (where === 'before' && (digits.length - i) % 3 === 0) cut(at);
        at += character.length;
        if (where === 'after' && (digits.length - i - 1) % 3 === 0) cut(at);
      });
    }
    cut(text.length);
  };
}

/** Cuts one after the other, each inside the parts of those before it. */
export function cutInTurn(cuts: readonly Cut[]): Cut {
  const [first, ...rest] = cuts;
  if (!first) return (text, emit) => emit(text);
  if (rest.length === 0) return first;
  const then = cutInTurn(rest);
  return (text, emit) => first(text, (part) => then(part, emit));
}
