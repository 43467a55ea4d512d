import { describe, expect, test } from '@jest/globals';
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PocketMoeError } from '../../sdk/error.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { openPackage } from '../../sdk/model/package-model.js';
import type { Manifest } from '../../sdk/model/package-manifest.js';
import { pack } from '../../sdk/pack/pack.js';
import { buildGguf, generator, smallModel } from './gguf-builder.js';
import { fastDirectory, scratch } from './scratch.js';

const { path, write } = scratch(fastDirectory());

let packed: Promise<string> | undefined;
/** A small package, packed once. */
function small(): Promise<string> {
  packed ??= (async () => {
    const { entries, tensors } = smallModel({});
    const file = write('small model.gguf', buildGguf(entries, tensors));
    return (await pack(file, path('small.pocketmoe'))).path;
  })();
  return packed;
}

/** A copy of the small package with another manifest. */
async function altered(change: (manifest: Manifest) => unknown): Promise<string> {
  const copy = path('altered.pocketmoe');
  rmSync(copy, { recursive: true, force: true });
  cpSync(await small(), copy, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(copy, 'manifest.json'), 'utf8')) as Manifest;
  change(manifest);
  writeFileSync(join(copy, 'manifest.json'), JSON.stringify(manifest));
  return copy;
}

describe('a package is refused when', () => {
  const cases: [string, (m: Manifest) => unknown, string][] = [
    ['the format is foreign', (m) => ((m as { format: string }).format = 'zip'), 'not the manifest'],
    ['it has no segments', (m) => ((m as { segments: unknown }).segments = null), 'segments'],
    ['a segment leads up', (m) => (m.segments[0]!.file = '../x.seg'), 'segments.0.file'],
    ['a segment has a separator', (m) => (m.segments[0]!.file = 'a/x.seg'), 'segments.0.file'],
    ['a segment is hidden', (m) => (m.segments[0]!.file = '.x.seg'), 'segments.0.file'],
    ['a segment appears twice', (m) => m.segments.push({ ...m.segments[0]! }), 'appears twice'],
    ['a segment is missing', (m) => (m.segments[0]!.file = 'other.seg'), 'is missing'],
    ['a segment has another size', (m) => (m.segments[1]!.bytes += 4096), 'instead of'],
    ['a segment is unaligned', (m) => (m.segments[1]!.bytes += 1), 'multiple of 4096'],
    ['an extent leaves its segment', (m) => (m.experts[0]!.extents[0]![1] = m.segments[1]!.bytes), 'outside'],
    ['an extent has no segment', (m) => (m.experts[0]!.extents[0]![0] = 2), 'outside'],
    ['an extent is unaligned', (m) => (m.experts[0]!.extents[0]![1] += 64), 'not aligned'],
    ['extents overlap', (m) => (m.experts[0]!.extents[0]![1] = m.experts[0]!.extents[1]![1]), 'overlap'],
    ['an offset is negative', (m) => (m.metadata[1] = -4096), 'metadata.1'],
    ['an offset is fractional', (m) => (m.metadata[1] = 0.5), 'metadata.1'],
    ['a CRC is too large', (m) => (m.metadata[4][0] = 2 ** 32), 'metadata.4.0'],
    ['a CRC is missing', (m) => m.tensors[0]!.extent[4].pop(), 'one CRC'],
    ['a SHA-256 is short', (m) => (m.metadata[3] = m.metadata[3].slice(1)), 'metadata.3'],
    ['the metadata do not match', (m) => (m.metadata[3] = '0'.repeat(64)), 'SHA-256'],
    ['the metadata are no GGUF', (m) => (m.metadata = m.tensors.shift()!.extent), 'not a GGUF'],
    [
      'the metadata are huge',
      (m) => ((m.metadata[2] = 2 ** 40), (m.segments[0]!.bytes = 2 ** 41)),
      'overlap',
    ],
    ['a tensor appears twice', (m) => (m.tensors[1]!.name = m.tensors[0]!.name), 'appears twice'],
    ['a shape does not fit', (m) => (m.tensors[0]!.shape[1]! += 1), 'another size'],
    ['a shape is empty', (m) => (m.tensors[0]!.shape = []), 'tensors.0.shape'],
    ['a weight type is unknown', (m) => (m.tensors[0]!.type = 16), 'IQ2_XXS'],
    ['a layout is unknown', (m) => (m.tensors[0]!.layout = 1), 'layout 1'],
    ['an expert layout is unknown', (m) => (m.experts[0]!.roles.up[3] = 1), 'layout 1'],
    ['a layer appears twice', (m) => (m.experts[1]!.layer = 0), 'layer 0 appears twice'],
    ['a role leaves its piece', (m) => (m.experts[0]!.roles.down[1] += 64), 'does not fit into its piece'],
    ['a role has no piece', (m) => (m.experts[0]!.roles.down[0] = 1), 'impossible place'],
    ['roles overlap', (m) => (m.experts[0]!.roles.up[1] -= 64), 'impossible place'],
    ['a role is unaligned', (m) => (m.experts[0]!.roles.up[1] += 1), 'impossible place'],
    ['rows do not fit', (m) => (m.experts[0]!.roles.down[4] *= 2), 'do not fit together'],
    ['a piece is missing', (m) => (m.experts[0]!.pieces = []), 'experts.0.pieces'],
    ['there are two pieces', (m) => m.experts[0]!.pieces.push([4096, 64]), 'neither one piece nor three'],
    ['a piece begins late', (m) => (m.experts[0]!.pieces[0]![0] = 4096), 'first piece'],
    ['a piece is too long', (m) => (m.experts[0]!.pieces[0]![1] += 64), 'another size'],
  ];
  test.each(cases)('%s', async (_, change, words) => {
    const directory = await altered(change);
    const error = await openPackage(directory).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(PocketMoeError);
    expect((error as PocketMoeError).message).toContain(words);
    expect((error as PocketMoeError).hint).not.toBe('');
  });

  test('its format or layout is another one, with the command that packs it again', async () => {
    for (const key of ['formatVersion', 'layoutVersion'] as const) {
      const directory = await altered((m) => {
        (m as Record<typeof key, number>)[key] = 2;
        (m as { segments: unknown }).segments = 'of another form';
      });
      await expect(openModelFile(directory)).rejects.toMatchObject({
        code: 'model/package-version',
        hint: expect.stringContaining(`pocketmoe pack 'small model.gguf' ${directory} --overwrite`),
      });
    }
  });

  test('its manifest is no JSON, or not there', async () => {
    const directory = await altered(() => undefined);
    truncateSync(join(directory, 'manifest.json'), 1000);
    await expect(openPackage(directory)).rejects.toMatchObject({ code: 'model/manifest' });
    rmSync(join(directory, 'manifest.json'));
    await expect(openPackage(directory)).rejects.toMatchObject({
      code: 'model/manifest',
      hint: expect.stringContaining('pocketmoe pack SOURCE'),
    });
  });
});

test('mutated manifests give typed errors or a valid package', async () => {
  const directory = await altered(() => undefined);
  const file = join(directory, 'manifest.json');
  const bytes = readFileSync(file);
  const next = generator(99);
  const tokens = [
    '-1',
    '0',
    '1e300',
    'null',
    '"x"',
    '[]',
    '{}',
    '9007199254740993',
    '4096',
    'true',
    '1e',
    '"\\ud800"',
  ];
  let refused = 0;
  for (let i = 0; i < 1500; i++) {
    let text = bytes.toString('latin1');
    if (next() % 3 === 0) {
      const at = next() % text.length;
      text = text.slice(0, at) + String.fromCharCode(next() % 256) + text.slice(at + 1);
    } else {
      // Replaces one of its values by another.
      const values = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d+/g)];
      const value = values[next() % values.length]!;
      text =
        text.slice(0, value.index) +
        tokens[next() % tokens.length]! +
        text.slice(value.index + value[0].length);
    }
    writeFileSync(file, text, 'latin1');
    try {
      const model = await openPackage(directory);
      for (const { pieces } of model.experts.values())
        for (const piece of pieces.flat())
          if (piece.offset % 4096 !== 0 || !(piece.length > 0) || model.files[piece.file] === undefined)
            throw new Error(`mutant ${i} was accepted with an impossible piece`);
    } catch (error) {
      if (!(error instanceof PocketMoeError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(500);
});
