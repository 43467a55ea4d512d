/** `npm run bench [-- options]`: sets up, bundles the benchmark and its processes, runs it. `--help` tells the options. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setUp } from './set-up.mjs';
import { root } from './sources.mjs';

/** Each runs in a process of its own, but the first. */
const ENTRIES = {
  bench: 'scripts/bench.ts',
  'bench-engine': 'scripts/bench/engine-contestant.ts',
  'bench-peer': 'scripts/bench/peer-contestant.ts',
  'bench-start-engine': 'scripts/bench/start-engine.ts',
  'bench-start-peer': 'scripts/bench/start-peer.ts',
  'bench-app': 'scripts/bench/app-process.ts',
};

setUp();
process.chdir(root);
const { build } = await import('esbuild');
const outdir = join(root, 'build', 'scripts');
await build({
  absWorkingDir: root,
  entryPoints: ENTRIES,
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Packages stay outside the bundle: native ones (koffi) cannot be bundled.
  packages: 'external',
  define: { POCKETMOE_VERSION: '"bench"' },
  logLevel: 'warning',
});
await import(pathToFileURL(join(outdir, 'bench.mjs')).href);
