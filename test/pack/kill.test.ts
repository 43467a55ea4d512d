import { describe, expect, test } from '@jest/globals';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ModelFormatError } from '../../sdk/error.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { pack } from '../../sdk/pack/pack.js';
import { buildGguf, generator, smallModel } from '../model/gguf-builder.js';
import { fastDirectory, scratch } from '../model/scratch.js';
import { bundle } from './bundle.js';

const { path, write } = scratch(fastDirectory());
const program = bundle('test/pack/packing-child.ts', path('packing-child.mjs'));
const { entries, tensors } = smallModel({ layers: 2, experts: 4, inputs: 128, width: 96 });
const source = write('model.gguf', buildGguf(entries, tensors));
const OLD = smallModel({ seed: 77, layers: 1 });
const oldSource = write('old.gguf', buildGguf(OLD.entries, OLD.tensors));

interface Child {
  signal: string | null;
  said: { operations?: number; code?: string };
}

function run(output: string, overwrite: boolean, killAt: number, half = false): Child {
  const flags = [overwrite ? 'overwrite' : 'keep', String(killAt), half ? 'half' : 'whole'];
  const { signal, stdout, stderr } = spawnSync(process.execPath, [program, source, output, ...flags]);
  if (signal === null && stdout.length === 0) throw new Error(stderr.toString());
  return { signal, said: signal === null ? (JSON.parse(stdout.toString()) as Child['said']) : {} };
}

function difference(a: string, b: string): string | null {
  const [left, right] = [readdirSync(a).sort(), readdirSync(b).sort()];
  if (left.join() !== right.join()) return `${left.join()} instead of ${right.join()}`;
  return left.find((name) => !readFileSync(join(a, name)).equals(readFileSync(join(b, name)))) ?? null;
}

describe('packing that is killed', () => {
  const whole = pack(source, path('whole.pocketmoe'));
  const old = pack(oldSource, path('old.pocketmoe'));

  test('before any of its operations on files continues with the same bytes', async () => {
    const expected = (await whole).path;
    const { operations } = run(path('counted.pocketmoe'), false, -1).said;
    expect(difference(path('counted.pocketmoe'), expected)).toBeNull();
    expect(operations).toBeGreaterThan(40);
    let resumed = 0;
    for (let at = 0; at < operations!; at++) {
      const output = path('killed.pocketmoe');
      rmSync(output, { recursive: true, force: true });
      expect(run(output, false, at, at % 2 === 1).signal).toBe('SIGKILL');
      // What is visible is a whole package or none.
      const visible = await openModelFile(output).catch((error: unknown) => error);
      if (existsSync(join(output, 'manifest.json'))) expect(visible).toMatchObject({ kind: 'package' });
      else expect((visible as ModelFormatError).code).toMatch(/^model\/(manifest|open)$/);
      const gone = existsSync(join(output, 'packing.journal')) || !existsSync(join(output, 'manifest.json'));
      // Killed after the journal went, only the lock is left: then it is a finished package.
      const report = await pack(source, output, { overwrite: !gone });
      if (report.resumedBytes > 0) resumed++;
      expect(report.notices).toEqual([]);
      expect(difference(output, expected)).toBeNull();
    }
    expect(resumed).toBeGreaterThan(operations! / 3);
  });

  test('while it replaces a package leaves the old one or the new one', async () => {
    const expected = await whole;
    const before = await old;
    const template = before.path;
    const fresh = (): string => {
      rmSync(path('replaced.pocketmoe'), { recursive: true, force: true });
      cpSync(template, path('replaced.pocketmoe'), { recursive: true });
      return path('replaced.pocketmoe');
    };
    const operations = run(fresh(), true, -1).said.operations!;
    // The last operations are those that publish.
    for (const at of [3, 10, ...Array.from({ length: 14 }, (_, i) => operations - 14 + i)]) {
      const output = fresh();
      expect(run(output, true, at).signal).toBe('SIGKILL');
      const visible = await openModelFile(output);
      expect([before.digest, expected.digest]).toContain(visible.digest);
      await pack(source, output, { overwrite: true });
      expect(difference(output, expected.path)).toBeNull();
    }
  });

  test('again and again, at any time, ends with the same bytes', async () => {
    const demo = 'models/home-assistant-q4.gguf';
    const expected = (await pack(demo, path('demo.pocketmoe'))).path;
    const output = path('unlucky.pocketmoe');
    const next = generator(5);
    for (let i = 0; i < 6; i++) {
      const child = spawn(process.execPath, [program, demo, output, 'keep', '-1', 'whole'], {
        stdio: 'ignore',
      });
      const closed = once(child, 'close');
      const megabytes = (i + 1) * 2 + (next() % 2);
      // By the bytes it wrote, so that a slow machine is not killed before it begins.
      while (child.exitCode === null && written(output) < megabytes * 1e6) await sleep(1);
      child.kill('SIGKILL');
      await closed;
    }
    await pack(demo, output, { overwrite: true });
    expect(difference(output, expected)).toBeNull();
  });
});

function written(directory: string): number {
  let bytes = 0;
  for (const name of existsSync(directory) ? readdirSync(directory) : [])
    bytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}
