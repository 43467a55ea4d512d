import { describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readFileSync, truncateSync } from 'node:fs';
import { ModelFormatError, UnsupportedError } from '../../sdk/error.js';
import { MemorySource } from '../../sdk/model/byte-source.js';
import { readGgufHeader } from '../../sdk/model/gguf-header.js';
import { openGguf } from '../../sdk/model/gguf-model.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import {
  buildGguf,
  generator,
  smallModel,
  string,
  strings,
  tensor,
  u32,
  type Value,
} from './gguf-builder.js';
import { scratch } from './scratch.js';

const { path, write } = scratch();
const DEMO = 'models/home-assistant-q4.gguf';
const architecture = { 'general.architecture': string('smallthinker') };

function read(bytes: Uint8Array): ReturnType<typeof readGgufHeader> {
  return readGgufHeader(new MemorySource('test.gguf', bytes));
}

function refusal(action: () => unknown): ModelFormatError | UnsupportedError {
  try {
    action();
  } catch (error) {
    if (error instanceof ModelFormatError || error instanceof UnsupportedError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('metadata', () => {
  const entries: Record<string, Value> = {
    u8: { type: 0, value: 250 },
    i8: { type: 1, value: -5 },
    u16: { type: 2, value: 65_000 },
    i16: { type: 3, value: -30_000 },
    u32: { type: 4, value: 4e9 },
    i32: { type: 5, value: -2e9 },
    f32: { type: 6, value: 0.5 },
    yes: { type: 7, value: true },
    text: { type: 8, value: 'Grüße 🦉' },
    u64: { type: 10, value: 2 ** 53 - 1 },
    i64: { type: 11, value: -(2 ** 53 - 1) },
    f64: { type: 12, value: Math.PI },
    huge: { type: 10, value: 2n ** 63n },
    tokens: { type: 9, of: 8, value: ['', 'a', '\uFEFFb', '🦉'] },
    scores: { type: 9, of: 6, value: [1, -2.5] },
    flags: { type: 9, of: 7, value: [true, false, true] },
    nothing: { type: 9, of: 4, value: [] },
    nested: {
      type: 9,
      of: 9,
      value: [
        { type: 9, of: 5, value: [1, 2] },
        { type: 9, of: 8, value: ['x'] },
        { type: 9, of: 9, value: [{ type: 9, of: 0, value: [7] }] },
      ],
    },
  };
  for (const version of [2, 3])
    test(`of every type is read back (version ${version})`, () => {
      const { metadata } = read(buildGguf(entries, [], { version }));
      const numbers = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'u64', 'i64', 'f64'];
      for (const key of numbers) expect(metadata.number(key)).toBe((entries[key] as { value: number }).value);
      expect(metadata.boolean('yes')).toBe(true);
      expect(metadata.string('text')).toBe('Grüße 🦉');
      expect(metadata.strings('tokens')).toEqual(['', 'a', '\uFEFFb', '🦉']);
      expect(metadata.numbers('scores')).toEqual(Float64Array.of(1, -2.5));
      expect(metadata.numbers('flags')).toEqual(Float64Array.of(1, 0, 1));
      expect(metadata.numbers('nothing')).toEqual(new Float64Array(0));
      expect(metadata.strings('nothing')).toEqual([]);
      expect(metadata.value('nested')).toEqual([Float64Array.of(1, 2), ['x'], [Float64Array.of(7)]]);
      expect([...metadata.keys()]).toEqual(Object.keys(entries));
      expect(metadata.typeName('scores')).toBe('array of f32');
    });

  test('of the wrong type is refused with key, expected and found type', () => {
    const { metadata } = read(buildGguf(entries, []));
    const cases: [() => unknown, string[]][] = [
      [() => metadata.string('u8'), ['u8', 'string expected']],
      [() => metadata.number('text'), ['text', 'number expected', 'type string']],
      [() => metadata.number('yes'), ['yes', 'number expected', 'type bool']],
      [() => metadata.boolean('u8'), ['bool expected', 'type u8']],
      [() => metadata.strings('scores'), ['scores', 'array of strings expected', 'array of f32']],
      [() => metadata.numbers('tokens'), ['tokens', 'array of numbers expected', 'array of string']],
      [() => metadata.numbers('u32'), ['array of numbers expected', 'type u32']],
      [() => metadata.number('huge'), ['huge', '2^53']],
      [() => metadata.number('missing'), ['no key missing', 'number expected']],
    ];
    for (const [action, words] of cases) {
      const error = refusal(action);
      expect(error.code).toBe('model/metadata');
      for (const word of words) expect(error.message).toContain(word);
    }
    expect(metadata.numberOr('missing', null)).toBeNull();
    expect(metadata.stringOr('text', 'other')).toBe('Grüße 🦉');
    expect(metadata.booleanOr('missing', true)).toBe(true);
    expect(() => metadata.numberOr('text', 1)).toThrow(ModelFormatError);
  });
});

describe('a GGUF file', () => {
  test('gives tensors, experts and digest (demo model)', async () => {
    const model = await openGguf(DEMO);
    const bytes = readFileSync(DEMO);
    expect(model.architecture).toBe('smallthinker');
    expect(model.tensors.size).toBe(59);
    expect(model.tensors.get('output.weight')).toMatchObject({
      type: 8,
      shape: [256, 4096],
      length: 1_114_112,
    });
    expect([...model.experts.keys()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const layer = model.experts.get(7)!;
    expect(layer.pieces.length).toBe(32);
    expect(layer.roles.up).toEqual({
      piece: 1,
      offset: 0,
      type: 2,
      layout: 0,
      rows: 128,
      cols: 256,
      length: 18_432,
    });
    expect(layer.roles.down).toMatchObject({ rows: 256, cols: 128, length: 18_432 });
    const { headerBytes, digest } = read(bytes);
    expect(model.digest).toBe(digest);
    expect(digest).toBe(createHash('sha256').update(bytes.subarray(0, headerBytes)).digest('hex'));
    expect(model.metadata.strings('tokenizer.ggml.tokens').length).toBe(4096);
  });

  test('has each expert where its third dimension puts it', async () => {
    const { entries, tensors } = smallModel({ experts: 5, inputs: 96, width: 64, type: 8 });
    const file = write('slices.gguf', buildGguf(entries, tensors));
    const bytes = readFileSync(file);
    const model = await openModelFile(file);
    for (const [number, { roles, pieces }] of model.experts)
      for (const role of ['gate', 'up', 'down'] as const) {
        const { data } = tensors.find((t) => t.name === `blk.${number}.ffn_${role}_exps.weight`)!;
        const size = data.length / 5;
        expect(roles[role].length).toBe(size);
        for (const [expert, list] of pieces.entries()) {
          const { offset, length } = list[roles[role].piece]!;
          const expected = data.subarray(expert * size, (expert + 1) * size);
          expect(bytes.subarray(offset, offset + length).equals(expected)).toBe(true);
        }
      }
    expect(model.experts.size).toBe(2);
    expect([...model.tensors.keys()]).toEqual([
      'token_embd.weight',
      'blk.0.attn_norm.weight',
      'blk.1.attn_norm.weight',
    ]);
  });

  test('may align its tensors to other powers of two', () => {
    const next = generator(2);
    const tensors = [tensor('a', 0, [3], next), tensor('b', 0, [5], next)];
    const bytes = buildGguf({ ...architecture, 'general.alignment': u32(512) }, tensors, { alignment: 512 });
    for (const [i, { offset, length }] of read(bytes).tensors.entries()) {
      expect(offset % 512).toBe(0);
      expect(bytes.subarray(offset, offset + length)).toEqual(Buffer.from(tensors[i]!.data));
    }
  });

  test('with experts of another kind keeps them as tensors', async () => {
    const next = generator(3);
    const file = write(
      'kinds.gguf',
      buildGguf(architecture, [
        tensor('blk.0.ffn_up_exps.weight', 0, [4, 4, 2], next),
        tensor('blk.0.ffn_down_exps.weight', 0, [4, 4, 2], next),
        tensor('blk.1.ffn_gate_up_exps.weight', 0, [4, 8, 2], next),
        tensor('blk.1.ffn_down_exps.weight', 0, [4, 4, 2], next),
      ]),
    );
    const model = await openGguf(file);
    expect(model.experts.size).toBe(0);
    expect(model.tensors.size).toBe(4);
  });

  test('with a vocabulary of 150,000 opens without reading the file', async () => {
    const word = generator(4);
    const tokens = Array.from({ length: 150_000 }, (_, i) => `Ġ${word().toString(36)}${i}`);
    const merges = Array.from({ length: 150_000 }, (_, i) => `${tokens[i]} ${word().toString(36)}`);
    const bytes = buildGguf(
      {
        ...architecture,
        'tokenizer.ggml.tokens': strings(tokens),
        'tokenizer.ggml.merges': strings(merges),
        'tokenizer.ggml.token_type': { type: 9, of: 5, value: tokens.map(() => 1) },
      },
      [{ name: 'output.weight', type: 0, shape: [2 ** 20, 8], data: new Uint8Array(2 ** 25) }],
    );
    const file = write('vocabulary.gguf', bytes);
    const begin = performance.now();
    const model = await openGguf(file);
    const opened = performance.now();
    const decoded = model.metadata.strings('tokenizer.ggml.merges');
    console.log(
      `header of 150,000 tokens: opened in ${(opened - begin).toFixed(0)} ms,`,
      `merges decoded in ${(performance.now() - opened).toFixed(0)} ms`,
    );
    expect(decoded).toEqual(merges);
    expect(model.metadata.strings('tokenizer.ggml.tokens')).toEqual(tokens);
    let read = 0;
    const source = new MemorySource('counted', bytes);
    readGgufHeader({
      name: 'counted',
      size: bytes.length,
      read: (at, target) => {
        read += target.length;
        source.read(at, target);
      },
    });
    expect(read).toBeLessThan(20 * 2 ** 20);
    expect(bytes.length).toBeGreaterThan(2 ** 25);
  });
});

describe('refused with a reason:', () => {
  const next = generator(5);
  const good = (): Buffer =>
    buildGguf(architecture, [tensor('a', 0, [8], next), tensor('b', 8, [32, 2], next)]);
  /** Changes bytes at the position of `mark` plus `at`. */
  const edit = (mark: string, at: number, change: (bytes: Buffer, position: number) => void): Buffer => {
    const bytes = good();
    change(bytes, bytes.indexOf(mark) + at);
    return bytes;
  };
  const lengthOf = (name: string): Buffer => {
    const bytes = Buffer.alloc(8 + name.length);
    bytes.writeUInt32LE(name.length);
    bytes.write(name, 8);
    return bytes;
  };
  const twice = buildGguf({ ab: u32(1), ac: u32(2) }, []);
  twice.write('ab', twice.indexOf('ac'));

  const cases: [string, Buffer, string, string][] = [
    ['no GGUF', Buffer.from('PK\x03\x04 something else entirely'), 'model/magic', 'not a GGUF file'],
    ['GGML', Buffer.from('lmgg0000000000000000'), 'model/magic', 'GGML'],
    ['an empty file', Buffer.alloc(0), 'model/truncated', 'byte 0'],
    ['version 1', edit('GGUF', 4, (b, at) => b.writeUInt32LE(1, at)), 'model/version', 'version 1'],
    ['version 4', edit('GGUF', 4, (b, at) => b.writeUInt32LE(4, at)), 'model/version', 'version 4'],
    ['big-endian', edit('GGUF', 4, (b, at) => b.writeUInt32BE(3, at)), 'model/version', 'big-endian'],
    [
      '2^40 tensors',
      edit('GGUF', 8, (b, at) => b.writeBigUInt64LE(2n ** 40n, at)),
      'model/truncated',
      'tensors',
    ],
    ['2^63 keys', edit('GGUF', 16, (b, at) => b.writeBigUInt64LE(2n ** 63n, at)), 'model/header', '2^53'],
    [
      'a long key',
      edit('GGUF', 24, (b, at) => b.writeBigUInt64LE(2n ** 30n, at)),
      'model/truncated',
      'key 0',
    ],
    ['a key twice', twice, 'model/header', 'ab appears twice'],
    [
      'an unknown value type',
      edit('architecture', 12, (b, at) => b.writeUInt32LE(13, at)),
      'model/header',
      'type 13',
    ],
    ['a bool of 2', buildGguf({ x: { type: 7, value: 2 } }, []), 'model/header', 'bool'],
    [
      'deep nesting',
      buildGguf(
        { x: [1, 2, 3, 4, 5].reduce<Value>((inner) => ({ type: 9, of: 9, value: [inner] }), u32(0)) },
        [],
      ),
      'model/header',
      'deeper',
    ],
    [
      '5 dimensions',
      edit('a\x01\0\0\0', 1, (b, at) => b.writeUInt32LE(5, at)),
      'model/tensor',
      '5 dimensions',
    ],
    [
      'no dimension',
      edit('a\x01\0\0\0', 1, (b, at) => b.writeUInt32LE(0, at)),
      'model/tensor',
      '0 dimensions',
    ],
    ['an empty tensor', edit('a\x01\0\0\0', 5, (b, at) => b.writeUInt32LE(0, at)), 'model/tensor', 'empty'],
    [
      '2^52 weights',
      edit('a\x01\0\0\0', 5, (b, at) => b.writeBigUInt64LE(2n ** 52n, at)),
      'model/tensor',
      '2^53',
    ],
    [
      'an overflow',
      edit('b\x02\0\0\0', 13, (b, at) => b.writeBigUInt64LE(2n ** 50n, at)),
      'model/tensor',
      '2^53',
    ],
    [
      'half blocks',
      edit('b\x02\0\0\0', 5, (b, at) => b.writeUInt32LE(33, at)),
      'model/tensor',
      'blocks of 32',
    ],
    ['a name twice', edit('b\x02\0\0\0', 0, (b, at) => b.write('a', at)), 'model/tensor', 'appears twice'],
    [
      'misalignment',
      edit('b\x02\0\0\0', 25, (b, at) => b.writeUInt32LE(33, at)),
      'model/tensor',
      'multiple of 32',
    ],
    ['overlap', edit('b\x02\0\0\0', 25, (b, at) => b.writeUInt32LE(0, at)), 'model/tensor', 'overlap'],
    [
      'data beyond the end',
      edit('b\x02\0\0\0', 25, (b, at) => b.writeUInt32LE(4096, at)),
      'model/truncated',
      'tensor b',
    ],
    ['alignment 48', buildGguf({ 'general.alignment': u32(48) }, []), 'model/header', 'power of two'],
    ['alignment 0', buildGguf({ 'general.alignment': u32(0) }, []), 'model/header', 'power of two'],
    ['a control character', edit('general', 0, (b, at) => b.writeUInt8(7, at)), 'model/header', 'control'],
  ];
  test.each(cases)('%s', (_, bytes, code, words) => {
    const error = refusal(() => read(bytes));
    expect(error.message).toContain(words);
    expect(error.code).toBe(code);
    expect(error.hint).not.toBe('');
  });

  test('an unknown weight type, with tensor, number, name and what is known', () => {
    for (const [type, name] of [
      [16, 'IQ2_XXS'],
      [77, '77'],
    ] as const) {
      const bytes = good();
      bytes.writeUInt32LE(type, bytes.indexOf(lengthOf('b')) + 9 + 4 + 16);
      const error = refusal(() => read(bytes));
      expect(error).toBeInstanceOf(UnsupportedError);
      expect(error.code).toBe('unsupported/weight-type');
      expect(error.message).toContain('tensor b has weight type ' + type);
      expect(error.message).toContain(name);
      expect(error.hint).toContain('Q4_K (12)');
    }
  });

  test('experts that do not fit together', async () => {
    const cases: [(tensors: ReturnType<typeof smallModel>['tensors']) => void, string][] = [
      [(t) => (t[3]!.shape = [32, 64, 3]), 'blk.0.ffn_up_exps.weight'],
      [(t) => (t[4]!.shape = [64, 32, 3]), 'blk.0.ffn_down_exps.weight'],
      [(t) => Object.assign(t[2]!, tensor(t[2]!.name, 2, [64, 32, 2], next)), '[64, 32, 2]'],
      [(t) => t.splice(4, 1), 'gate and up matrices of experts but no down'],
    ];
    for (const [i, [change, words]] of cases.entries()) {
      const { entries, tensors } = smallModel({});
      change(tensors);
      const file = write(`unfit-${i}.gguf`, buildGguf(entries, tensors));
      await expect(openGguf(file)).rejects.toThrow(words);
      await expect(openGguf(file)).rejects.toBeInstanceOf(ModelFormatError);
    }
  });

  test('a header that would take the memory of a large file', async () => {
    const bytes = buildGguf({ ...architecture, text: string('x') }, []);
    bytes.writeBigUInt64LE(2n ** 31n, bytes.indexOf('text') + 8);
    const file = write('sparse.gguf', bytes);
    truncateSync(file, 2 ** 32);
    await expect(openGguf(file)).rejects.toMatchObject({ code: 'model/header' });
  });

  test('paths that are no file', async () => {
    await expect(openModelFile(path('missing'))).rejects.toMatchObject({ code: 'model/open' });
    await expect(openModelFile('/dev/null')).rejects.toMatchObject({ code: 'model/open' });
    await expect(openGguf('models')).rejects.toMatchObject({ code: 'model/open' });
    await expect(openModelFile('models')).rejects.toMatchObject({ code: 'model/manifest' });
  });
});
