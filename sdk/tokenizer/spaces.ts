/** ▁ (U+2581), which stands for a space in vocabularies of plain text, as UTF-8. */
const BLOCK = [0xe2, 0x96, 0x81] as const;

/** The bytes of a token's text with every ▁ as the space it stands for. */
export function unescapeSpaces(text: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(text.length);
  let count = 0;
  for (let i = 0; i < text.length; i++)
    if (text[i] === BLOCK[0] && text[i + 1] === BLOCK[1] && text[i + 2] === BLOCK[2]) {
      bytes[count++] = 0x20;
      i += 2;
    } else bytes[count++] = text[i]!;
  return bytes.subarray(0, count);
}

export function escapeSpaces(text: string): string {
  return text.replaceAll(' ', '\u2581');
}
