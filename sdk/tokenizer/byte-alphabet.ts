/**
 * Byte-level vocabularies write each byte as one printable character: printable Latin-1 as itself, the other 68 bytes
 * as U+0100 and up, in order. (The scheme of GPT-2's tokenizer, which all its descendants keep.)
 */
const BYTE_OF = new Int16Array(0x800).fill(-1);
for (let byte = 0, moved = 0x100; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  BYTE_OF[printable ? byte : moved++] = byte;
}

/**
 * Turns a token's text (UTF-8, bytes `from` to `to`) into the bytes it stands for, written to `bytes` at `at`: at most
 * `to - from`. Returns how many, or -1 when a character stands for no byte.
 */
export function readByteText(
  text: Uint8Array,
  from: number,
  to: number,
  bytes: Uint8Array,
  at: number,
): number {
  let end = at;
  for (let i = from; i < to; i++) {
    let code = text[i]!;
    if (code >= 0x80) {
      // All characters of the alphabet are one or two bytes long.
      if (code < 0xc2 || code > 0xdf || i + 1 === to) return -1;
      code = ((code & 31) << 6) | (text[++i]! & 63);
    }
    const byte = BYTE_OF[code]!;
    if (byte < 0) return -1;
    bytes[end++] = byte;
  }
  return end - at;
}
