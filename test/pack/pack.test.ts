import { describe, expect, test } from '@jest/globals';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { openGguf } from '../../sdk/model/gguf-model.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import type { ModelFile } from '../../sdk/model/model-file.js';
import { CREATED_BY } from '../../sdk/pack/created-by.js';
import { lockText } from '../../sdk/pack/pack-lock.js';
import { pack } from '../../sdk/pack/pack.js';
import { buildGguf, generator, KNOWN_TYPES, smallModel, tensor } from '../model/gguf-builder.js';
import { fastDirectory, scratch } from '../model/scratch.js';
import { splitModel } from '../model/split-model.js';

const { path, write } = scratch(fastDirectory());
const DEMO = 'models/home-assistant-q4.gguf';

/** All files of a directory by name. */
function contents(directory: string): Record<string, Buffer> {
  return Object.fromEntries(
    readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]),
  );
}

function expectSameFiles(a: string, b: string): void {
  const [left, right] = [contents(a), contents(b)];
  expect(Object.keys(left)).toEqual(Object.keys(right));
  for (const name of Object.keys(left))
    if (!left[name]!.equals(right[name]!)) throw new Error(`${name} differs`);
}

/** Every tensor and every matrix of every expert is the same in both, and each CRC is right. */
function expectSameModel(source: ModelFile, packed: ModelFile): void {
  const files = new Map<string, Buffer>();
  const bytesOf = (
    model: ModelFile,
    at: { file: number; offset: number; length: number },
    skip = 0,
    length = at.length,
  ): Buffer => {
    const name = model.files[at.file]!;
    if (!files.has(name)) files.set(name, readFileSync(name));
    return files.get(name)!.subarray(at.offset + skip, at.offset + skip + length);
  };
  expect([...packed.tensors.keys()]).toEqual([...source.tensors.keys()]);
  for (const [name, tensor] of source.tensors) {
    const copy = packed.tensors.get(name)!;
    expect([copy.type, copy.shape]).toEqual([tensor.type, tensor.shape]);
    expect(copy.offset % 4096).toBe(0);
    expect(bytesOf(packed, copy).equals(bytesOf(source, tensor))).toBe(true);
    expect(copy.crc32c).toBe(crc32c(bytesOf(packed, copy)));
  }
  expect([...packed.experts.keys()]).toEqual([...source.experts.keys()]);
  for (const [number, layer] of source.experts) {
    const copy = packed.experts.get(number)!;
    expect(copy.pieces.length).toBe(layer.pieces.length);
    for (const [expert, pieces] of layer.pieces.entries()) {
      for (const piece of copy.pieces[expert]!) {
        expect(piece.offset % 4096).toBe(0);
        expect(piece.crc32c).toBe(crc32c(bytesOf(packed, piece)));
      }
      for (const role of ['gate', 'up', 'down'] as const) {
        const [from, to] = [layer.roles[role], copy.roles[role]];
        expect([to.type, to.rows, to.cols, to.length]).toEqual([
          from.type,
          from.rows,
          from.cols,
          from.length,
        ]);
        const a = bytesOf(source, pieces[from.piece]!, from.offset, from.length);
        const b = bytesOf(packed, copy.pieces[expert]![to.piece]!, to.offset, to.length);
        if (!a.equals(b)) throw new Error(`${role} of expert ${expert} of layer ${number} differs`);
      }
    }
  }
}

describe('packing', () => {
  test('keeps every byte of the demo model, twice the same', async () => {
    const report = await pack(DEMO, path('demo.pocketmoe'));
    const packed = await openModelFile(path('demo.pocketmoe'));
    const source = await openGguf(DEMO);
    expectSameModel(source, packed);
    expect(packed.digest).toBe(report.digest);
    expect(report).toMatchObject({ extents: 59 + 8 * 32 + 1, resumedBytes: 0, converted: [], notices: [] });
    expect(packed.architecture).toBe('smallthinker');
    expect([...packed.metadata.keys()]).toEqual([...source.metadata.keys()]);
    for (const key of ['tokenizer.ggml.tokens', 'tokenizer.ggml.merges'])
      expect(packed.metadata.strings(key)).toEqual(source.metadata.strings(key));
    expect(packed.experts.get(0)!.pieces[0]!.length).toBe(1); // 18 KiB matrices
    const sizes = readdirSync(report.path).map((name) => statSync(join(report.path, name)).size);
    expect(sizes.reduce((a, b) => a + b)).toBe(report.bytes);

    await pack(DEMO, path('again.pocketmoe'), { syncBytes: 1 });
    expectSameFiles(path('demo.pocketmoe'), path('again.pocketmoe'));
  });

  test('reads large matrices on their own', async () => {
    const { entries, tensors } = smallModel({ layers: 1, experts: 2, inputs: 512, width: 576, type: 2 });
    // Only down reaches 128 KiB.
    const down = tensors.findIndex((t) => t.name.includes('down'));
    tensors[down] = tensor(tensors[down]!.name, 14, [768, 512, 2], generator(1));
    for (const role of ['gate', 'up'])
      tensors[tensors.findIndex(t => t.name.includes(`_${role}_exps`))] = tensor(`blk.0.ffn_${role}_exps.weight`, 2, [512, 768, 2], generator(2)); // prettier-ignore
    const source = await openGguf(write('large.gguf', buildGguf(entries, tensors)));
    const packed = await openModelFile((await pack(source.path, path('large.pocketmoe'))).path);
    expectSameModel(source, packed);
    const { roles, pieces } = packed.experts.get(0)!;
    expect([roles.gate.piece, roles.up.piece, roles.down.piece]).toEqual([0, 1, 2]);
    expect(pieces[1]!.map((piece) => piece.length)).toEqual([221_184, 221_184, 322_560]);
  });

  test('takes every weight type as it is', async () => {
    const next = generator(11);
    for (const type of KNOWN_TYPES) {
      const { entries, tensors } = smallModel({ inputs: 256, width: 256, experts: 2, layers: 1, type });
      tensors.push(tensor('blk.0.odd.weight', 0, [3, 5, 2, 2], next));
      const source = await openGguf(write(`type-${type}.gguf`, buildGguf(entries, tensors)));
      const report = await pack(source.path, path(`type-${type}.pocketmoe`));
      expectSameModel(source, await openModelFile(report.path));
      expect(report.converted).toEqual([]);
    }
  });

  test('makes one package of a split model, the same as of the whole', async () => {
    const model = smallModel({ layers: 3 });
    const parts = splitModel(model, 3).map((bytes, i) => write(`s-0000${i + 1}-of-00003.gguf`, bytes));
    const packed = await openModelFile((await pack(parts[1]!, path('split.pocketmoe'))).path);
    expectSameModel(await openGguf(parts[0]!), packed);
    expect([...packed.metadata.keys()].filter((key) => key.startsWith('split.'))).toEqual([]);
    expect(packed.metadata.has('general.extra')).toBe(true);
  });

  test('orders experts on flash as asked', async () => {
    const { entries, tensors } = smallModel({ experts: 4 });
    const source = await openGguf(write('order.gguf', buildGguf(entries, tensors)));
    const report = await pack(source.path, path('order.pocketmoe'), {
      expertOrder: new Map([[1, [2, 0, 3, 1]]]),
    });
    const packed = await openModelFile(report.path);
    expectSameModel(source, packed);
    const order = (layer: number): number[] => {
      const offsets = packed.experts.get(layer)!.pieces.map((pieces) => pieces[0]!.offset);
      return offsets.map((_, i) => i).sort((a, b) => offsets[a]! - offsets[b]!);
    };
    expect(order(0)).toEqual([0, 1, 2, 3]);
    expect(order(1)).toEqual([2, 0, 3, 1]);
    for (const expertOrder of [new Map([[0, [0, 1, 2]]]), new Map([[0, [0, 1, 2, 2]]]), new Map([[7, [0]]])])
      await expect(pack(source.path, path('bad.pocketmoe'), { expertOrder })).rejects.toMatchObject({
        code: 'option/expert-order',
      });
    expect(existsSync(path('bad.pocketmoe'))).toBe(false);
  });

  test('shares the segments that did not change between versions of a model', async () => {
    const one = smallModel({});
    const two = smallModel({});
    two.tensors.at(-1)!.data[0]! ^= 1;
    const reports = [];
    for (const [i, { entries, tensors }] of [one, two].entries())
      reports.push(await pack(write(`v${i}.gguf`, buildGguf(entries, tensors)), path(`v${i}.pocketmoe`)));
    expect(reports[0]!.segments[0]).toEqual(reports[1]!.segments[0]);
    expect(reports[0]!.segments[1]).not.toEqual(reports[1]!.segments[1]);
    expect(reports[0]!.digest).not.toBe(reports[1]!.digest);
  });

  test('writes the version of package.json', () => {
    const { name, version } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      name: string;
      version: string;
    };
    expect(CREATED_BY).toBe(`${name} ${version}`);
  });

  test('a large model gives a small manifest', async () => {
    const { entries, tensors } = smallModel({ layers: 52, experts: 64, inputs: 32, width: 32 });
    const report = await pack(write('many.gguf', buildGguf(entries, tensors)), path('many.pocketmoe'));
    const size = statSync(join(report.path, 'manifest.json')).size;
    console.log(`manifest of 52 layers of 64 experts: ${size} bytes`);
    expect(size).toBeLessThan(1.5e6);
  });
});

describe('the output', () => {
  const { entries, tensors } = smallModel({});
  const source = write('source.gguf', buildGguf(entries, tensors));

  test('is not overwritten unasked', async () => {
    const output = path('kept.pocketmoe');
    await pack(source, output);
    const before = contents(output);
    await expect(pack(source, output)).rejects.toMatchObject({ code: 'pack/exists' });
    expect(contents(output)).toEqual(before);
  });

  test('is replaced when asked, and nothing of the old package stays', async () => {
    const output = path('replaced.pocketmoe');
    const other = smallModel({ seed: 9, layers: 3 });
    await pack(write('other.gguf', buildGguf(other.entries, other.tensors)), output);
    await pack(source, output, { overwrite: true });
    await pack(source, path('fresh.pocketmoe'));
    expectSameFiles(output, path('fresh.pocketmoe'));
    await pack(source, output, { overwrite: true }); // by itself
    expectSameFiles(output, path('fresh.pocketmoe'));
  });

  test('may not be a file or a directory of something else', async () => {
    await expect(pack(source, source)).rejects.toMatchObject({ code: 'pack/exists' });
    mkdirSync(path('photos'));
    writeFileSync(path('photos/cat.jpg'), 'cat');
    for (const overwrite of [false, true])
      await expect(pack(source, path('photos'), { overwrite })).rejects.toMatchObject({
        code: 'pack/exists',
      });
    expect(readdirSync(path('photos'))).toEqual(['cat.jpg']);
    await expect(pack(source, '/proc/nowhere/x')).rejects.toMatchObject({ code: 'pack/write' });
  });

  test('is packed to by one process at a time', async () => {
    const output = path('busy.pocketmoe');
    const both = await Promise.allSettled([pack(source, output), pack(source, output)]);
    expect(both.filter((result) => result.status === 'fulfilled').length).toBe(1);
    expect(both.find((result) => result.status === 'rejected')).toMatchObject({
      reason: { code: 'pack/busy' },
    });
    mkdirSync(path('alive.pocketmoe'));
    writeFileSync(path('alive.pocketmoe/packing.lock'), (await lockText(process.ppid))!);
    await expect(pack(source, path('alive.pocketmoe'))).rejects.toMatchObject({ code: 'pack/busy' });
    // A process that is gone, one that came after it with the same number, and a lock that was never written in full.
    for (const [i, text] of ['4194304999 1\n', `${process.ppid} 1\n`, String(process.ppid), ''].entries()) {
      const dead = path(`dead-${i}.pocketmoe`);
      mkdirSync(dead);
      writeFileSync(join(dead, 'packing.lock'), text);
      await pack(source, dead);
      expectSameFiles(dead, output);
    }
  });
});

describe('an interrupted packing', () => {
  const { entries, tensors } = smallModel({ seed: 3, layers: 4, experts: 8 });
  const source = write('long.gguf', buildGguf(entries, tensors));
  const whole = pack(source, path('whole.pocketmoe'));

  /** Packs until `after` progress reports have come, then aborts. */
  async function interrupt(output: string, after: number, input = source): Promise<void> {
    const controller = new AbortController();
    let reports = 0;
    const packing = pack(input, output, {
      signal: controller.signal,
      onProgress: () => {
        if (++reports === after) controller.abort();
      },
    });
    await expect(packing).rejects.toMatchObject({ name: 'AbortError' });
    expect(readdirSync(output)).not.toContain('manifest.json');
    await expect(openModelFile(output)).rejects.toMatchObject({ code: 'model/manifest' });
  }

  test('continues after an abort with the same bytes, at any extent', async () => {
    const { path: expected, extents } = await whole;
    for (let after = 1; after < extents; after += 3) {
      const output = path(`abort-${after}.pocketmoe`);
      await interrupt(output, after);
      let first = 0;
      const report = await pack(source, output, { onProgress: ({ doneBytes }) => (first ||= doneBytes) });
      expect(report.resumedBytes).toBeGreaterThanOrEqual(after * 4096);
      expect(first).toBeGreaterThan(report.resumedBytes);
      expect(report.notices).toEqual([]);
      expectSameFiles(output, expected);
    }
  });

  test('starts over, with notice, when input or options changed or its files are gone', async () => {
    const { path: expected } = await whole;
    const input = write('changing.gguf', readFileSync(source));
    const output = path('changed.pocketmoe');
    const notice = { resumedBytes: 0, notices: [expect.stringContaining('discarded')] };

    await interrupt(output, 12, input);
    writeFileSync(input, readFileSync(source)); // the same bytes, but who knows
    expect(await pack(input, output)).toMatchObject(notice);

    await interrupt(path('options.pocketmoe'), 12);
    const expertOrder = new Map([[0, [7, 6, 5, 4, 3, 2, 1, 0]]]);
    expect(await pack(source, path('options.pocketmoe'), { expertOrder })).toMatchObject(notice);

    await interrupt(path('gone.pocketmoe'), 12);
    writeFileSync(path('gone.pocketmoe/segment-1.partial'), '');
    expect(await pack(source, path('gone.pocketmoe'))).toMatchObject(notice);
    expectSameFiles(path('gone.pocketmoe'), expected);

    await interrupt(path('torn.pocketmoe'), 12);
    appendFileSync(path('torn.pocketmoe/packing.journal'), '5\n["half a li');
    expect(await pack(source, path('torn.pocketmoe'))).toMatchObject({ notices: [] });
    expectSameFiles(path('torn.pocketmoe'), expected);
  });

  test('notices a source that changes while it is read', async () => {
    const input = write('moving.gguf', readFileSync(source));
    const packing = pack(input, path('moving.pocketmoe'), {
      onProgress: ({ doneBytes, totalBytes }) => {
        if (doneBytes === totalBytes) writeFileSync(input, readFileSync(source));
      },
    });
    await expect(packing).rejects.toMatchObject({ code: 'pack/source-changed' });
    expect((await pack(input, path('moving.pocketmoe'))).notices.length).toBe(1);
  });
});
