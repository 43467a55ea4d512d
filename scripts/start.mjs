/**
 * `npm start [-- "request"]`: sets up, packs the demo model and answers one household request from flash, with slots
 * for two in five experts. Needs nothing but Node and npm.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setUp } from './set-up.mjs';
import { root } from './sources.mjs';

const REQUEST = 'dim the kitchen lights to 40 and lock the garage door';
/** Share of the experts that get a slot: few enough to show streaming at work. */
const SHARE = 0.4;
const MAX_TOKENS = 160;

const gguf = join(root, 'models', 'home-assistant-q4.gguf');
const model = join(root, 'build', 'home-assistant.pocketmoe');
const cli = join(root, 'dist', 'cli.js');

const request = process.argv.slice(2).join(' ').trim() || REQUEST;

setUp();

function pack() {
  process.stderr.write('Packing the demo model…\n');
  rmSync(model, { recursive: true, force: true }); // made here, of whatever version and state
  const args = [cli, 'pack', gguf, model, '--quiet'];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

const plan = () => spawnSync(process.execPath, [cli, 'plan', model, '--json'], { encoding: 'utf8' });

const manifest = join(model, 'manifest.json');
const packedNow = !existsSync(manifest) || statSync(manifest).mtimeMs < statSync(gguf).mtimeMs;
if (packedNow) pack();
let planned = plan();
if (planned.status !== 0 && !packedNow) {
  pack(); // the package may be of another version, or damaged
  planned = plan();
}
if (planned.status !== 0) {
  const { error } = JSON.parse(planned.stdout || '{"error":{"message":"pocketmoe plan failed","hint":""}}');
  process.stderr.write(`${planned.stderr}${error.message}\n${error.hint}\n`);
  process.exit(1);
}
const { largestBytes, smallestBytes, memory: parts } = JSON.parse(planned.stdout);
const expertBytes = (parts.slotBytes / parts.slots) * parts.experts;
const memory = Math.max(smallestBytes, Math.round(largestBytes - (1 - SHARE) * expertBytes));

process.stderr.write(`\n> ${request}\n`);
const running = spawn(
  process.execPath,
  [cli, 'run', model, request, '--memory', String(memory), '--max-tokens', String(MAX_TOKENS)],
  { stdio: 'inherit' },
);
// Ctrl-C reaches the child too; it ends by itself, and this process ends with its code.
process.on('SIGINT', () => {});
running.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
