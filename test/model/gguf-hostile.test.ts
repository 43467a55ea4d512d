import { describe, expect, test } from '@jest/globals';
import { PocketMoeError } from '../../sdk/error.js';
import { MemorySource, type ByteSource } from '../../sdk/model/byte-source.js';
import { takeExperts } from '../../sdk/model/expert-tensors.js';
import { readGgufHeader } from '../../sdk/model/gguf-header.js';
import { openGguf } from '../../sdk/model/gguf-model.js';
import type { TensorInfo } from '../../sdk/model/model-file.js';
import { buildGguf, generator, smallModel, type Value } from './gguf-builder.js';
import { scratch } from './scratch.js';

const { write } = scratch();
const MUTANTS = 6000;

/** A source that counts what is read from it. */
class CountedSource implements ByteSource {
  readonly name = 'mutant';
  readonly size: number;
  read = (at: number, target: Uint8Array): void => {
    this.bytes += target.length;
    this.source.read(at, target);
  };
  bytes = 0;
  private readonly source: MemorySource;
  constructor(bytes: Uint8Array) {
    this.size = bytes.length;
    this.source = new MemorySource('mutant', bytes);
  }
}

/** Reads everything there is to read. Returns the code of the typed error, or null; other errors pass through. */
function readAll(source: ByteSource): string | null {
  try {
    const header = readGgufHeader(source);
    for (const { offset, length } of header.tensors)
      if (!(offset >= header.headerBytes && length > 0 && offset + length <= source.size))
        throw new Error('a tensor outside the file was accepted');
    for (const key of header.metadata.keys()) {
      try {
        header.metadata.value(key);
      } catch (error) {
        if (!(error instanceof PocketMoeError)) throw error;
      }
    }
    const tensors = new Map<string, TensorInfo>();
    for (const tensor of header.tensors)
      tensors.set(tensor.name, { ...tensor, file: 0, layout: 0, crc32c: null });
    for (const { pieces } of takeExperts(tensors, source.name).values())
      for (const { offset, length } of pieces.flat())
        if (offset + length > source.size) throw new Error('an expert outside the file was accepted');
    return null;
  } catch (error) {
    if (error instanceof PocketMoeError && /^(model|unsupported)\//.test(error.code)) return error.code;
    throw error;
  }
}

function original(): Buffer {
  const { entries, tensors } = smallModel({ inputs: 32, layers: 1 });
  const nested: Value = { type: 9, of: 9, value: [{ type: 9, of: 4, value: [1, 2] }] };
  return buildGguf({ ...entries, nested, big: { type: 10, value: 2 ** 40 } }, tensors);
}

describe('a hostile GGUF file', () => {
  test('cut off at any byte is refused', async () => {
    const bytes = original();
    const { headerBytes, tensors } = readGgufHeader(new MemorySource('whole', bytes));
    const end = Math.max(...tensors.map(({ offset, length }) => offset + length));
    expect(readAll(new MemorySource('whole', bytes.subarray(0, end)))).toBeNull();
    for (let length = 0; length < end; length++) {
      const code = readAll(new MemorySource('cut', bytes.subarray(0, length)));
      if (code !== 'model/truncated') throw new Error(`cut at ${length} gave ${code}`);
    }
    for (const length of [0, 3, 4, 23, 24, headerBytes - 1, headerBytes, end - 1]) {
      const file = write('cut.gguf', bytes.subarray(0, length));
      await expect(openGguf(file)).rejects.toMatchObject({ code: 'model/truncated' });
    }
  });

  test(`in ${MUTANTS} mutations gives typed errors or a valid model, and is never read twice`, () => {
    const bytes = original();
    const { headerBytes } = readGgufHeader(new MemorySource('whole', bytes));
    const next = generator(20_240_607);
    const below = (n: number): number => next() % n;
    const nasty = [
      0n,
      1n,
      2n,
      127n,
      255n,
      65_535n,
      2n ** 31n - 1n,
      2n ** 31n,
      2n ** 32n - 1n,
      2n ** 32n,
      2n ** 53n,
    ];
    nasty.push(
      2n ** 40n,
      2n ** 63n - 1n,
      2n ** 63n,
      2n ** 64n - 1n,
      BigInt(bytes.length),
      BigInt(bytes.length - 1),
    );
    const codes = new Map<string | null, number>();
    for (let i = 0; i < MUTANTS; i++) {
      let mutant = Buffer.from(bytes);
      for (let changes = 1 + below(3); changes > 0; changes--) {
        const at = below(headerBytes - 8);
        switch (below(6)) {
          case 0: // a bit
            mutant[at]! ^= 1 << below(8);
            break;
          case 1: // a byte
            mutant[at] = below(256);
            break;
          case 2: // a length, count or offset
            mutant.writeBigUInt64LE(nasty[below(nasty.length)]!, at);
            break;
          case 3: // a type or number of dimensions
            mutant.writeUInt32LE([below(50), below(50), 2 ** 31, 2 ** 32 - 1][below(4)]!, at);
            break;
          case 4: // a run from elsewhere
            mutant.copyWithin(at, below(headerBytes), below(headerBytes));
            break;
          default: // bytes missing or too many
            mutant = Buffer.concat([
              mutant.subarray(0, at),
              mutant.subarray(Math.max(0, at + below(24) - 12)),
            ]);
        }
        if (mutant.length < headerBytes) break;
      }
      const source = new CountedSource(mutant);
      const code = readAll(source);
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (source.bytes > mutant.length) throw new Error(`mutant ${i} was read ${source.bytes} bytes`);
    }
    // The corpus reaches every check, and some mutants are harmless.
    for (const code of [
      'model/truncated',
      'model/header',
      'model/tensor',
      'unsupported/weight-type',
      'model/version',
    ])
      expect(codes.get(code)).toBeGreaterThan(10);
    expect(codes.get(null)).toBeGreaterThan(100);
  });

  test('whose counts ask for memory gets none', () => {
    const before = process.memoryUsage();
    for (const [mark, at] of [
      ['GGUF', 8],
      ['GGUF', 16],
      ['tokenizer.ggml.tokens', 21 + 8],
      ['tokenizer.ggml.scores', 21 + 8],
      ['nested', 6 + 8],
      ['nested', 6 + 8 + 8 + 4],
    ] as const)
      for (const count of [2n ** 24n, 2n ** 32n - 1n, 2n ** 44n, 2n ** 53n - 1n]) {
        const bytes = original();
        bytes.writeBigUInt64LE(count, bytes.indexOf(mark) + at);
        expect(readAll(new MemorySource('greedy', bytes))).toBe('model/truncated');
      }
    const after = process.memoryUsage();
    expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(
      64 * 2 ** 20,
    );
  });
});
