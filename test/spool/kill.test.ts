import { afterAll, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { drain, spoolFolder } from './folder.js';
import { random } from './random.js';

const { open, path } = spoolFolder();

/** The bundle lies where `sqlite3` is found. */
const program = join('build', `spool-child-${process.pid}.mjs`);
afterAll(() => rmSync(program, { force: true }));
buildSync({
  entryPoints: ['test/spool/appending-child.ts'],
  outfile: program,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  external: ['sqlite3'],
});

/** Runs a child until it wrote `lines` lines, kills it, and returns all lines that are whole. */
function runAndKill(file: string, seed: number, cap: number, lines: number): Promise<string[]> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, file, String(seed), String(cap)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    let count = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk;
      count += chunk.filter((byte) => byte === 10).length;
      if (count >= lines) child.kill('SIGKILL');
    });
    child.on('close', () => resolve(output.split('\n').slice(0, -1)));
  });
}

const cases: [string, number, number][] = [
  ['with room for all', 2 ** 28, 12],
  ['at the cap', 2 ** 20, 18],
];

for (const [name, cap, kills] of cases)
  test(`a process killed at any moment, ${name}: produced = stored + dropped, in order`, async () => {
    const next = random(cap);
    const stored = new Set<string>();
    const sent = new Set<string>();
    const boots: string[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const lines = await runAndKill(path(name), kill, cap, Math.floor(next() * 400));
      for (const line of lines) {
        const [fact, boot, sequence] = line.split(' ');
        const key = `${boot} ${sequence}`;
        if (fact === 'stored') stored.add(key);
        else sent.add(key);
        if (fact === 'stored' && !boots.includes(boot!)) boots.push(boot!);
      }
    }
    const spool = await open(name, { capBytes: cap });
    const { produced, droppedTotal, records, corruptions } = spool.statistics();
    const kept = await drain(spool);
    const present = new Set([...sent, ...kept.map(({ boot, sequence }) => `${boot} ${sequence}`)]);

    expect(corruptions).toBe(0);
    expect(kept).toHaveLength(records);
    expect(present.size + droppedTotal).toBe(produced);
    const lost = [...stored].filter((key) => !present.has(key)).length;
    expect(lost).toBeLessThanOrEqual(droppedTotal);
    expect(stored.size).toBeGreaterThan(500);
    expect(droppedTotal > 0).toBe(cap === 2 ** 20);

    const order = kept.map(({ boot, sequence }) => boots.indexOf(boot) * 1e9 + sequence);
    const known = order.filter((place) => place >= 0);
    expect(known).toEqual([...known].sort((a, b) => a - b));
  });
