import { writeSync } from 'node:fs';
import { RECORD_CLASSES } from '../../device/spool/record.js';
import { openSpool } from '../../device/spool/spool.js';
import { random } from './random.js';

/**
 * Appends and sends until it is killed: argv: database, seed, cap in bytes. Each line on stdout is a fact that the
 * outside relies on: `stored BOOT SEQUENCE` after an append, `sent BOOT SEQUENCE` before a release.
 */
const [path, seed, cap] = process.argv.slice(2);
const next = random(Number(seed));
const spool = await openSpool({
  path: path!,
  capBytes: Number(cap),
  commitMilliseconds: 0,
  releaseMilliseconds: 5,
});
const say = (lines: string[]) => writeSync(1, lines.map((line) => `${line}\n`).join(''));

async function append(): Promise<never> {
  for (;;) {
    const count = 1 + Math.floor(next() * 60);
    const sequences = await Promise.all(
      Array.from({ length: count }, () =>
        spool.append(RECORD_CLASSES[Math.floor(next() * 5)]!, new Uint8Array(Math.floor(next() * 3000))),
      ),
    );
    say(sequences.map((sequence) => `stored ${spool.boot} ${sequence}`));
  }
}

async function send(): Promise<never> {
  for (;;) {
    const records = await spool.read(1 + Math.floor(next() * 20));
    const last = records[Math.floor(next() * records.length)];
    say(records.map(({ boot, sequence }) => `sent ${boot} ${sequence}`));
    if (last) void spool.release(last);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

await Promise.all([append(), send()]);
