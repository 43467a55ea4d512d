/** Runs a TypeScript script: `node scripts/run.mjs scripts/NAME.ts [arguments]`. Bundled into build/scripts/ first. */
import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const entry = process.argv[2];
if (entry === undefined) {
  console.error('Usage: node scripts/run.mjs scripts/NAME.ts [arguments]');
  process.exit(2);
}
const folder = join(fileURLToPath(new URL('..', import.meta.url)), 'build', 'scripts');
const outfile = join(folder, `${basename(entry, '.ts')}.mjs`);
await mkdir(folder, { recursive: true });
// Packages stay outside the bundle: native ones (koffi) cannot be bundled.
await build({
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
process.argv.splice(1, 2, resolve(entry));
await import(pathToFileURL(outfile).href);
