import type { ByteStrings } from './byte-strings.js';

/** Ids of the tokens <0x00> to <0xFF>, which stand for bytes; -1 where there is none. */
export function byteTokens(strings: ByteStrings, size: number): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    const id = find(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    return id >= 0 && id < size ? id : -1;
  });

  function find(text: string): number {
    const bytes = Buffer.from(text);
    return strings.find(bytes, 0, bytes.length);
  }
}

/** The byte that a token such as <0x0A> stands for. */
export function byteOf(text: Uint8Array): number {
  return Number.parseInt(Buffer.from(text.subarray(3, 5)).toString('latin1'), 16) & 255;
}
