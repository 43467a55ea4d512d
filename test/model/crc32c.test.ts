import { describe, expect, test } from '@jest/globals';
import { crc32c } from '../../sdk/model/crc32c.js';
import { generator } from './gguf-builder.js';

/** Bit by bit, as the definition says. */
function slow(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe('CRC32C', () => {
  test('gives the examples of RFC 3720 B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i))).toBe(0x113fdb5c);
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  test('equals the bitwise definition at every alignment and length, whole and in parts', () => {
    const next = generator(7);
    const bytes = Uint8Array.from({ length: 128 }, next);
    for (let start = 0; start < 9; start++)
      for (let length = 0; length < 70; length++) {
        const part = bytes.subarray(start, start + length);
        const expected = slow(part);
        expect(crc32c(part)).toBe(expected);
        const cut = length === 0 ? 0 : next() % length;
        expect(crc32c(part.subarray(cut), crc32c(part.subarray(0, cut)))).toBe(expected);
      }
  });

  test('keeps up with flash', () => {
    const bytes = Uint8Array.from({ length: 2 ** 20 }, (_, i) => i * 31);
    for (let i = 0; i < 8; i++) crc32c(bytes); // compiled by now
    const begin = performance.now();
    const crc = crc32c(bytes);
    console.log(`CRC32C: ${((bytes.length / (performance.now() - begin)) * 1e-3).toFixed(0)} MB/s`);
    expect(crc).toBe(slow(bytes));
  });
});
