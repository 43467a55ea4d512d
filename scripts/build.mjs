/**
 * Bundles the library, the command and the engine worker into dist/: `node scripts/build.mjs [--types]`.
 * Files are put in place one by one, entries last, so that a running command never meets half a bundle.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hashSources, root, STAMP } from './sources.mjs';

const dist = join(root, 'dist');

/** CommonJS packages inside an ES module bundle call `require` for Node's own modules. */
const REQUIRE =
  "import { createRequire as pmCreateRequire } from 'node:module';\nconst require = pmCreateRequire(import.meta.url);";

const ENTRIES = {
  index: 'sdk/index.ts',
  cli: 'sdk/cli/main.ts',
  'engine-worker': 'sdk/runtime/engine-worker.ts',
};

/** Writes dist/. `types` adds declarations, for publishing. Throws when a source does not compile. */
export async function bundle({ types = false } = {}) {
  const { build } = await import('esbuild');
  const sources = hashSources();
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const result = await build({
    absWorkingDir: root,
    entryPoints: ENTRIES,
    outdir: dist,
    write: false,
    bundle: true,
    // What a command does not use is neither read nor compiled when it starts.
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    minify: true,
    // Native addons: cannot be bundled.
    external: ['koffi', 'sqlite3'],
    define: { POCKETMOE_VERSION: JSON.stringify(version) },
    banner: { js: REQUIRE },
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
  });
  await mkdir(join(dist, 'chunks'), { recursive: true });
  const isChunk = (path) => dirname(path) !== dist;
  for (const { path, contents } of result.outputFiles.sort((a, b) => isChunk(b.path) - isChunk(a.path)))
    await place(path, contents, basename(path) === 'cli.js' ? 0o755 : 0o644);
  await place(join(dist, 'LICENSES.txt'), await licences(Object.keys(result.metafile.inputs)), 0o644);
  const kept = new Set(result.outputFiles.map(({ path }) => path));
  for (const name of await readdir(join(dist, 'chunks'))) {
    const path = join(dist, 'chunks', name);
    if (!kept.has(path)) await rm(path, { force: true });
  }
  if (types) {
    await rm(join(dist, 'types'), { recursive: true, force: true });
    emitTypes();
  }
  await writeFile(STAMP, sources);
}

/** Replaces a file in one step, unless it holds these bytes already. */
async function place(path, contents, mode) {
  const present = await readFile(path).catch(() => null);
  if (!present?.equals(Buffer.from(contents))) {
    await writeFile(`${path}.${process.pid}`, contents);
    await rename(`${path}.${process.pid}`, path);
  }
  if (((await stat(path)).mode & 0o777) !== mode) await chmod(path, mode);
}

/** The licences of the packages that are inside the bundles, which ask to travel with their code. */
async function licences(inputs) {
  const folders = new Set(
    inputs.map((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]).filter(Boolean),
  );
  const parts = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'));
    const file = (await readdir(join(root, folder))).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? await readFile(join(root, folder, file), 'utf8') : '';
    parts.push(`${name} ${version}, ${license}\n\n${text.trim()}\n`);
  }
  return parts.join(`\n${'-'.repeat(80)}\n\n`);
}

function emitTypes() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('the type declarations could not be written');
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (!existsSync(join(root, 'node_modules', 'esbuild'))) {
    console.error('esbuild is missing: run npm ci first.');
    process.exit(1);
  }
  try {
    await bundle({ types: process.argv.includes('--types') });
  } catch (error) {
    for (const { text, location } of error.errors ?? [{ text: error.message }])
      console.error(
        location ? `${relative(root, join(root, location.file))}:${location.line}: ${text}` : text,
      );
    process.exit(1);
  }
}
