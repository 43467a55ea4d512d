import { describe, expect, test } from '@jest/globals';
import { appendFileSync, cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { namedExtents, readManifest } from '../../sdk/model/package-manifest.js';
import { inspectModel } from '../../sdk/pack/inspect.js';
import { pack } from '../../sdk/pack/pack.js';
import { verifyModel } from '../../sdk/pack/verify.js';
import { buildGguf, smallModel } from '../model/gguf-builder.js';
import { fastDirectory, scratch } from '../model/scratch.js';

const { path, write } = scratch(fastDirectory());
const DEMO = 'models/home-assistant-q4.gguf';
const { entries, tensors } = smallModel({ layers: 2, experts: 4 });
const source = write('model.gguf', buildGguf(entries, tensors));
const packed = pack(source, path('model.pocketmoe'));

async function copy(name: string): Promise<string> {
  rmSync(path(name), { recursive: true, force: true });
  cpSync((await packed).path, path(name), { recursive: true });
  return path(name);
}

describe('verifying', () => {
  test('finds nothing in a good package or file, and reports progress', async () => {
    let last = { doneBytes: 0, totalBytes: -1, what: '' };
    const report = await verifyModel((await packed).path, { onProgress: (progress) => (last = progress) });
    expect(report).toEqual({ ok: true, extents: 1 + 3 + 8, damaged: [] });
    expect(last.doneBytes).toBe(last.totalBytes);
    expect(await verifyModel(source)).toMatchObject({ ok: true, extents: 3 + 6, damaged: [] });
  });

  test('finds a flipped bit in every extent', async () => {
    const directory = await copy('flipped.pocketmoe');
    const { manifest } = readManifest(directory);
    const all = [...namedExtents(manifest)];
    for (const [i, { what, extent }] of all.entries()) {
      const [segment, offset, length] = extent;
      const file = join(directory, manifest.segments[segment]!.file);
      for (const at of [0, length - 1, (i * 7919) % length]) {
        const bytes = readFileSync(file);
        bytes[offset + at]! ^= 1 << (i % 8);
        writeFileSync(file, bytes);
        const report = await verifyModel(directory);
        expect(report.ok).toBe(false);
        expect(report.damaged).toEqual([
          { what, file, offset, length, problem: expect.stringContaining('SHA-256') },
        ]);
        bytes[offset + at]! ^= 1 << (i % 8);
        writeFileSync(file, bytes);
      }
    }
    expect((await verifyModel(directory)).ok).toBe(true);
  });

  test('finds a wrong CRC, short, long and missing segments', async () => {
    const directory = await copy('damaged.pocketmoe');
    const { manifest } = readManifest(directory);
    const file = join(directory, manifest.segments[1]!.file);
    appendFileSync(file, 'x');
    expect((await verifyModel(directory)).damaged).toMatchObject([
      { offset: manifest.segments[1]!.bytes, length: 1 },
    ]);
    const last = manifest.experts[1]!.extents[3]!;
    truncateSync(file, last[1] + 10);
    expect((await verifyModel(directory)).damaged).toMatchObject([
      { what: 'expert 3 of layer 1', offset: last[1], problem: `the file ends at byte ${last[1] + 10}` },
    ]);
    rmSync(file);
    expect((await verifyModel(directory)).damaged.length).toBe(8);

    const crc = await copy('crc.pocketmoe');
    manifest.experts[0]!.extents[2]![4][0]! ^= 1;
    manifest.experts[0]!.extents[2]![4][0]! >>>= 0;
    writeFileSync(join(crc, 'manifest.json'), JSON.stringify(manifest));
    expect((await verifyModel(crc)).damaged).toMatchObject([
      { what: 'expert 2 of layer 0', problem: expect.stringContaining('CRC32C') },
    ]);
  });

  test('finds a truncated GGUF file, and throws what is no model', async () => {
    const cut = write('cut.gguf', readFileSync(source).subarray(0, -200));
    expect(await verifyModel(cut)).toMatchObject({ ok: false, damaged: [{ file: cut, what: 'header' }] });
    await expect(verifyModel(path('nothing'))).rejects.toMatchObject({ code: 'model/open' });
    await expect(verifyModel('package.json')).rejects.toMatchObject({ code: 'model/magic' });
  });

  test('stops when aborted', async () => {
    const signal = AbortSignal.abort();
    await expect(verifyModel((await packed).path, { signal })).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('inspecting', () => {
  test('describes file and package alike', async () => {
    const file = await inspectModel(DEMO);
    expect(file).toMatchObject({
      kind: 'gguf',
      name: 'Home Assistant 29M-A6M',
      architecture: 'smallthinker',
      metadata: { 'smallthinker.expert_count': 32, 'smallthinker.rope.freq_base': 10_000 },
      arrays: { 'tokenizer.ggml.tokens': { type: 'string', count: 4096 } },
      expertBytes: 14_155_776,
      package: null,
      files: [{ bytes: 18_474_976 }],
    });
    expect(file.weights).toEqual([
      { type: 'Q4_0', tensors: 24, denseBytes: 0, expertBytes: 14_155_776 },
      { type: 'Q8_0', tensors: 34, denseBytes: 3_899_392, expertBytes: 0 },
      { type: 'F32', tensors: 25, denseBytes: 279_552, expertBytes: 0 },
    ]);
    expect(file.experts[3]).toEqual({
      layer: 3,
      count: 32,
      bytesEach: 55_296,
      pieces: 3,
      inputs: 256,
      width: 128,
      types: { gate: 'Q4_0', up: 'Q4_0', down: 'Q4_0' },
    });
    const report = await pack(DEMO, path('demo.pocketmoe'));
    const directory = await inspectModel(report.path);
    expect(directory).toMatchObject({ kind: 'package', digest: report.digest, extents: report.extents });
    expect(directory.package).toMatchObject({
      formatVersion: 1,
      layoutVersion: 1,
      source: 'home-assistant-q4.gguf',
    });
    for (const key of ['weights', 'metadata', 'arrays', 'denseBytes', 'expertBytes'] as const)
      expect(directory[key]).toEqual(file[key]);
    expect(directory.experts[3]).toEqual({ ...file.experts[3], pieces: 1 });
  });

  test('survives keys that are no number', async () => {
    const huge = { ...entries, huge: { type: 10, value: 2n ** 63n } };
    const description = await inspectModel(write('huge.gguf', buildGguf(huge, tensors)));
    expect(description.metadata['huge']).toBeNull();
  });
});
