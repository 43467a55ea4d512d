import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FlashError } from '../../firmware-bridge/flash/flash-error.js';
import { PocketMoeError } from '../../sdk/error.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { pack } from '../../sdk/pack/pack.js';
import { WeightType } from '../../kernels/weight-type.js';
import { generateModel } from '../models/generate-model.js';
import { bits, continueWith, logitsOf, openEngine } from './open-engine.js';

/** Faults of real files and injected read errors: a typed error, a session that goes on, a process that lives. */
let folder: string;
let gguf: string;
let packed: string;
const tokens = [7, 300, 21, 90, 411, 5, 17, 230];
const slots = { expertSlots: 3, contextLength: 64 };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pocketmoe-faults-'));
  gguf = join(folder, 'model.gguf');
  packed = join(folder, 'model.pocketmoe');
  generateModel(gguf, {
    family: 'smallthinker',
    layers: 2,
    width: 64,
    hidden: 64,
    experts: 6,
    used: 2,
    weightType: WeightType.Q8_0,
  });
  await pack(gguf, packed);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function flip(path: string, offset: number): void {
  const file = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, offset);
  byte[0]! ^= 0x10;
  writeSync(file, byte, 0, 1, offset);
  closeSync(file);
}

describe('a read that fails', () => {
  test.each(['eio', 'short', 'flip'] as const)('%s, at every read of a generation in turn', async (kind) => {
    const engine = await openEngine(packed, { ...slots, batch: 4 });
    const wanted = bits(logitsOf(engine, tokens));
    const loaded = engine.flash.stats().reads;
    let failures = 0;
    for (let n = 0; ; n++) {
      const kv = engine.createKv(tokens.length);
      const begun = engine.flash.stats().reads;
      engine.flash.inject({ kind, read: begun + n });
      let failed = false;
      let rows: Float32Array[] = [];
      try {
        rows = continueWith(engine, kv, tokens);
      } catch (error) {
        expect(error).toBeInstanceOf(FlashError);
        expect((error as FlashError).code).toBe(
          { eio: 'flash/read', short: 'flash/short', flip: 'flash/corrupt' }[kind],
        );
        expect((error as FlashError).message).toMatch(/expert \d+ of layer \d+/);
        failed = true;
        failures++;
      }
      engine.flash.inject({ kind: 'none' });
      if (failed) {
        // the conversation goes on where it stood
        const stood = kv.length;
        expect(bits(continueWith(engine, kv, tokens.slice(stood)))).toEqual(wanted.slice(stood));
      } else expect(bits(rows)).toEqual(wanted);
      engine.freeKv(kv);
      if (!failed && engine.flash.stats().reads - begun <= n) break;
    }
    expect(failures).toBeGreaterThan(10);
    expect(loaded).toBeGreaterThan(0);
    engine.close();
  });

  test('a bit flipped on flash in every expert extent is found when the expert is used', async () => {
    const file = await openModelFile(packed);
    const copy = join(folder, 'flipped.pocketmoe');
    for (const layer of file.experts.values())
      for (const [expert, pieces] of layer.pieces.entries()) {
        cpSync(packed, copy, { recursive: true });
        const piece = pieces[0]!;
        flip(join(copy, file.files[piece.file]!.split('/').at(-1)!), piece.offset + 137 + 31 * expert);
        const engine = await openEngine(copy, slots);
        const used = new Set<number>();
        engine.experts.onRoute = (l, routes) => {
          if (l === layer.layer)
            routes.ids.subarray(0, routes.tokens * routes.k).forEach((id) => used.add(id));
        };
        let error: unknown = null;
        try {
          logitsOf(
            engine,
            Array.from({ length: 48 }, (_, i) => (i * 37) % 500),
          );
        } catch (caught) {
          error = caught;
        }
        expect(used.has(expert)).toBe(true);
        expect(error).toMatchObject({
          code: 'flash/corrupt',
          message: expect.stringContaining(`expert ${expert} of layer ${layer.layer}`),
        });
        engine.close();
      }
  });

  test('a bit flipped in any dense tensor is found while opening', async () => {
    const file = await openModelFile(packed);
    const copy = join(folder, 'flipped-dense.pocketmoe');
    for (const tensor of file.tensors.values()) {
      cpSync(packed, copy, { recursive: true });
      flip(
        join(copy, file.files[tensor.file]!.split('/').at(-1)!),
        tensor.offset + Math.floor(tensor.length / 2),
      );
      await expect(openEngine(copy, slots)).rejects.toMatchObject({
        code: 'flash/corrupt',
        message: expect.stringContaining(tensor.name),
      });
    }
  });

  test('a GGUF file altered while it runs is found at the next read of the expert', async () => {
    const copy = join(folder, 'altered.gguf');
    copyFileSync(gguf, copy);
    const engine = await openEngine(copy, slots);
    logitsOf(engine, tokens);
    const file = await openModelFile(copy);
    for (const layer of file.experts.values())
      for (const pieces of layer.pieces) flip(copy, pieces[1]!.offset + 5);
    expect(() => logitsOf(engine, tokens)).toThrow(
      expect.objectContaining({ code: 'flash/corrupt' }) as unknown as Error,
    );
    engine.close();
  });

  test('a file truncated while it runs', async () => {
    const copy = join(folder, 'truncated.gguf');
    copyFileSync(gguf, copy);
    const engine = await openEngine(copy, slots);
    truncateSync(copy, Math.floor(statSync(copy).size / 2));
    expect(() => logitsOf(engine, tokens)).toThrow(
      expect.objectContaining({ code: 'flash/short' }) as unknown as Error,
    );
    engine.close();
  });
});

describe('a file cut off', () => {
  test('segments truncated at any of many lengths: a typed error while opening', async () => {
    const copy = join(folder, 'cut.pocketmoe');
    const segments = readdirSync(packed).filter((name) => name.endsWith('.seg'));
    for (const segment of segments) {
      const size = statSync(join(packed, segment)).size;
      for (const length of [0, 1, 4095, Math.floor(size / 3), size - 4096, size - 1]) {
        if (length < 0 || length >= size) continue;
        cpSync(packed, copy, { recursive: true });
        truncateSync(join(copy, segment), length);
        await expect(openEngine(copy, slots)).rejects.toBeInstanceOf(PocketMoeError);
      }
    }
  });

  test('manifests truncated at any byte: a typed error while opening', async () => {
    const copy = join(folder, 'cut-manifest.pocketmoe');
    cpSync(packed, copy, { recursive: true });
    const manifest = readFileSync(join(packed, 'manifest.json'));
    for (let length = 0; length < manifest.length - 2; length += 97) {
      truncateSync(join(copy, 'manifest.json'), 0);
      const file = openSync(join(copy, 'manifest.json'), 'r+');
      writeSync(file, manifest, 0, length, 0);
      closeSync(file);
      await expect(openModelFile(copy)).rejects.toBeInstanceOf(PocketMoeError);
    }
  });
});
