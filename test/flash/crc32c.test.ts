import { execFileSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { alignedMemory } from '../../firmware-bridge/flash/aligned-memory.js';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { seeded } from './random.js';
import { libraryPath, startNative } from './subjects.js';

/** RFC 3720, B.4, and the check value of the CRC catalogues. */
const vectors: [string, Uint8Array, number][] = [
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
  ['ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['descending', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  [
    'an iSCSI read command',
    Uint8Array.from(
      Buffer.from(
        '01c00000000000000000000000000000140000000000040000000014000000182800000000000000' +
          '0200000000000000',
        'hex',
      ),
    ),
    0xd9963a56,
  ],
  ['"123456789"', Uint8Array.from(Buffer.from('123456789')), 0xe3069283],
  ['nothing', new Uint8Array(0), 0],
];

/** One bit at a time, from the definition. */
function bitwise(bytes: Uint8Array): number {
  let r = 0xffffffff;
  for (const b of bytes) {
    r ^= b;
    for (let i = 0; i < 8; i++) r = (r >>> 1) ^ (r & 1 ? 0x82f63b78 : 0);
  }
  return ~r >>> 0;
}

describe('CRC32C', () => {
  const native = startNative(1, 'pread');

  test.each(vectors)('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
    const memory = alignedMemory(bytes.length);
    memory.bytes.set(bytes);
    expect(native.crc32c(memory, bytes.length)).toBe(expected);
  });

  test('native and TypeScript agree with the definition over lengths and alignments', () => {
    const next = seeded(32);
    const memory = alignedMemory(70_000);
    for (let i = 0; i < memory.byteLength; i++) memory.bytes[i] = next(256);
    const lengths = [0, 1, 7, 8, 9, 767, 768, 769, 1536, 24_575, 24_576, 24_577, 25_400, 49_152, 66_000];
    for (let i = 0; i < 40; i++) lengths.push(next(3000));
    for (const length of lengths) {
      const at = next(64);
      const expected = bitwise(memory.bytes.subarray(at, at + length));
      expect([length, at, crc32c(memory.bytes.subarray(at, at + length))]).toEqual([length, at, expected]);
      expect([length, at, native.crc32c(memory.slice(at), length)]).toEqual([length, at, expected]);
    }
  });

  test('continues from an earlier value', () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 255);
    expect(crc32c(bytes.subarray(333), crc32c(bytes.subarray(0, 333)))).toBe(bitwise(bytes));
  });

  test('refuses a length outside of the memory', () => {
    expect(() => native.crc32c(alignedMemory(10), 11)).toThrow(RangeError);
    expect(() => native.crc32c(alignedMemory(10), -1)).toThrow(RangeError);
  });

  test('the portable code, forced, agrees with the instructions', () => {
    const bytes = Uint8Array.from({ length: 100_003 }, (_, i) => (i * i) & 255);
    const program = `
      import koffi from 'koffi';
      const crc = koffi.load(process.argv[1]).func('pm_crc32c', 'uint32_t', ['uint32_t', 'const void *', 'size_t']);
      const bytes = Uint8Array.from({ length: 100003 }, (_, i) => (i * i) & 255);
      console.log(crc(0, bytes, bytes.length), crc(crc(0, bytes, 5), bytes.subarray(5), bytes.length - 5));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', program, libraryPath()], {
      env: { ...process.env, POCKETMOE_ISA: 'portable' },
      encoding: 'utf8',
    });
    expect(output.trim()).toBe(`${bitwise(bytes)} ${bitwise(bytes)}`);
  });
});
