import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { temporaryFolder } from './folder.js';
import { failure, json, MODEL, pocketmoe } from './pocketmoe.js';

const folder = temporaryFolder();
const packed = join(folder, 'demo.pocketmoe');
let report: { status: number | null; value: Record<string, unknown> };

beforeAll(async () => {
  report = await json('pack', MODEL, packed);
});

describe('pack', () => {
  test('--json tells what was written', () => {
    expect(report).toMatchObject({ status: 0, value: { path: packed, resumedBytes: 0, converted: [] } });
    expect(report.value['digest']).toMatch(/^[0-9a-f]{64}$/);
  });

  test('a package that is there is kept, unless --overwrite', async () => {
    expect((await failure('pack', MODEL, packed)).code).toBe('pack/exists');
    const { status, value } = await json('pack', MODEL, packed, '--overwrite');
    expect({ status, digest: value['digest'] }).toEqual({ status: 0, digest: report.value['digest'] });
  });
});

describe('inspect', () => {
  test('a GGUF file and its package describe the same model', async () => {
    const [gguf, inPackage] = await Promise.all([json('inspect', MODEL), json('inspect', packed)]);
    expect(gguf.value).toMatchObject({ kind: 'gguf', architecture: 'smallthinker' });
    expect(inPackage.value).toMatchObject({
      kind: 'package',
      architecture: 'smallthinker',
      name: gguf.value['name'],
    });
    expect(inPackage.value['metadata']).toEqual(gguf.value['metadata']);
    expect((await pocketmoe('inspect', packed)).stdout).toMatch(
      /8 layers of 32 experts, 54 KiB each, 1 read/,
    );
  });

  test('--verify finds a whole package whole', async () => {
    expect(await json('inspect', packed, '--verify')).toEqual({
      status: 0,
      value: { ok: true, extents: report.value['extents'], damaged: [] },
    });
  });

  test('--verify names a flipped bit; run refuses it', async () => {
    const broken = join(folder, 'broken.pocketmoe');
    await json('pack', MODEL, broken);
    const segment = readdirSync(broken).find((name) => name !== 'manifest.json')!;
    const bytes = readFileSync(join(broken, segment));
    const middle = bytes.length >> 1;
    bytes[middle]! ^= 1;
    writeFileSync(join(broken, segment), bytes);
    const { status, value } = await json('inspect', broken, '--verify');
    expect(status).toBe(1);
    expect(value).toMatchObject({ ok: false, extents: report.value['extents'] });
    expect(value['damaged']).toHaveLength(1);
    const { status: textStatus, stdout } = await pocketmoe('inspect', broken, '--verify');
    expect({ textStatus, last: stdout.trimEnd().split('\n').at(-1) }).toEqual({
      textStatus: 1,
      last: `Damaged: 1 of ${String(report.value['extents'])} extents.`,
    });
  });
});

describe('plan', () => {
  test('--json has the stable names, and its parts make the whole', async () => {
    const { status, value } = await json('plan', packed, '--memory', '1GiB');
    expect(status).toBe(0);
    expect(value).toMatchObject({
      fits: true,
      limit: 'compute',
      bytesPerToken: 0,
      memory: { slots: 256, experts: 256 },
    });
    const [low, high] = value['tokensPerSecond'] as [number, number];
    expect(low).toBeGreaterThan(0);
    expect(high).toBeGreaterThanOrEqual(low);
    const {
      totalBytes,
      slots: _slots,
      experts: _experts,
      ...parts
    } = value['memory'] as Record<string, number>;
    expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(totalBytes!);
  });

  test('less memory means fewer slots and more to read', async () => {
    const { value: enough } = await json('plan', packed, '--memory', '1GiB');
    const memory = String((enough['smallestBytes'] as number) + 4 * 2 ** 20);
    const { value } = await json('plan', packed, '--memory', memory);
    expect(value).toMatchObject({ fits: true });
    expect((value['memory'] as { slots: number }).slots).toBeLessThan(256);
    expect(value['bytesPerToken']).toBeGreaterThan(0);
    expect((await pocketmoe('plan', packed, '--memory', memory)).stdout).toMatch(
      /It fits in .*\n(.*\n)*.*tokens\/s/,
    );
  });
});
