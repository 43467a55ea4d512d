/**
 * Byte-level vocabularies write each byte as one printable character: printable Latin-1 as itself, the other 68 bytes
 * as U+0100 and up, in order. (The scheme of GPT-2's tokenizer, which all its descendants keep.)
 */
const BYTE_OF = new Int16Array(0x100 + 68).fill(-1);
for (let byte = 0, moved = 0x100; byte < 256; byte++) {
  const printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  BYTE_OF[printable ? byte : moved++] = byte;
}

/**
 * Turns characters `from` to `to` of a token's text into the bytes they stand for, written to `bytes` at `at`.
 * Returns how many, or -1 when a character stands for no byte.
 */
export function readByteText(text: string, from: number, to: number, bytes: Uint8Array, at: number): number {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    const byte = code < BYTE_OF.length ? BYTE_OF[code]! : -1;
    if (byte < 0) return -1;
    bytes[at + i - from] = byte;
  }
  return to - from;
}
