/**
 * Writes characters `from` to `to` of a well-formed text to `bytes` as UTF-8, from its start; there must be room for
 * three bytes a character. Returns how many were written. Words are short: this beats a call into the encoder.
 */
export function writeUtf8(text: string, bytes: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) bytes[count++] = code;
    else if (code < 0x800) {
      bytes[count++] = 0xc0 | (code >> 6);
      bytes[count++] = 0x80 | (code & 63);
    } else if (code < 0xd800 || code > 0xdfff) {
      bytes[count++] = 0xe0 | (code >> 12);
      bytes[count++] = 0x80 | ((code >> 6) & 63);
      bytes[count++] = 0x80 | (code & 63);
    } else {
      code = text.codePointAt(i++)!;
      bytes[count++] = 0xf0 | (code >> 18);
      bytes[count++] = 0x80 | ((code >> 12) & 63);
      bytes[count++] = 0x80 | ((code >> 6) & 63);
      bytes[count++] = 0x80 | (code & 63);
    }
  }
  return count;
}

/** Bytes of the character that begins with `first`, in well-formed UTF-8. */
export function characterBytes(first: number): number {
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** Half a surrogate pair, which no UTF-8 can hold, becomes U+FFFD, as everywhere in JavaScript. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
