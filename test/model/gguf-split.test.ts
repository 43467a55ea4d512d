import { describe, expect, test } from '@jest/globals';
import { readFileSync, renameSync } from 'node:fs';
import { openGguf } from '../../sdk/model/gguf-model.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { buildGguf, smallModel, u32 } from './gguf-builder.js';
import { scratch } from './scratch.js';
import { splitModel } from './split-model.js';

const { path, write } = scratch();
const model = smallModel({ layers: 3 });
const name = (i: number, base = 'model'): string => `${base}-0000${i}-of-00003.gguf`;
const writeAll = (base: string, parts = splitModel(model, 3)): string[] =>
  parts.map((bytes, i) => write(name(i + 1, base), bytes));

describe('a split model', () => {
  test('opens as a whole by any of its parts', async () => {
    const files = writeAll('model');
    const whole = await openModelFile(write('whole.gguf', buildGguf(model.entries, model.tensors)));
    for (const file of files) {
      const split = await openModelFile(file);
      expect(split.files).toEqual(files);
      expect(split.path).toBe(files[0]);
      expect(split.metadata.strings('tokenizer.ggml.tokens')).toEqual(
        whole.metadata.strings('tokenizer.ggml.tokens'),
      );
      expect([...split.tensors.keys()]).toEqual([...whole.tensors.keys()]);
      const bytesOf = (m: typeof whole, at: { file: number; offset: number; length: number }): Buffer =>
        readFileSync(m.files[at.file]!).subarray(at.offset, at.offset + at.length);
      for (const [key, tensor] of whole.tensors)
        expect(bytesOf(split, split.tensors.get(key)!).equals(bytesOf(whole, tensor))).toBe(true);
      for (const [layer, { pieces, roles }] of whole.experts) {
        expect(split.experts.get(layer)?.roles).toEqual(roles);
        for (const [i, list] of pieces.entries())
          for (const [j, piece] of list.entries())
            expect(
              bytesOf(split, split.experts.get(layer)!.pieces[i]![j]!).equals(bytesOf(whole, piece)),
            ).toBe(true);
      }
    }
  });

  test('names the part that is missing', async () => {
    const files = writeAll('missing');
    renameSync(files[1]!, path('elsewhere'));
    const error = { code: 'model/split', message: `part 2 of 3 is missing: ${files[1]}` };
    await expect(openGguf(files[0]!)).rejects.toMatchObject(error);
    await expect(openGguf(files[2]!)).rejects.toMatchObject(error);
  });

  test('is refused under a name that hides the other parts', async () => {
    const files = writeAll('renamed');
    renameSync(files[0]!, path('first.gguf'));
    await expect(openGguf(path('first.gguf'))).rejects.toMatchObject({
      code: 'model/split',
      hint: expect.stringContaining('-00001-of-00003.gguf'),
    });
  });

  test('is refused when parts are swapped, from another model, or truncated', async () => {
    const [a, b, c] = splitModel(model, 3) as [Buffer, Buffer, Buffer];
    const other = splitModel(smallModel({ layers: 4 }), 3);
    const cases: [string, Buffer[], string][] = [
      ['swapped', [a, c, b], 'model/split'],
      ['mixed', [a, b, other[2]!], 'model/split'],
      ['repeated', [a, b, buildGguf({ 'split.no': u32(2), 'split.count': u32(3) }, model.tensors.slice(0, 5))], 'model/split'], // prettier-ignore
      ['truncated', [a, b.subarray(0, b.length - 100), c], 'model/truncated'],
      ['foreign', [a, buildGguf({}, []), c], 'model/metadata'],
    ];
    for (const [base, parts, code] of cases) {
      const files = writeAll(base, parts);
      await expect(openGguf(files[0]!)).rejects.toMatchObject({ code });
    }
  });
});
