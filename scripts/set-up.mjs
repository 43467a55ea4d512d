/**
 * Makes a checkout ready to run: dependencies, native library, bundles. Does only what is missing or out of date, and
 * needs nothing but Node and npm.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hashSources, root, STAMP } from './sources.mjs';

const SQLITE = join(root, 'node_modules', 'sqlite3', 'package.json');
const NATIVE_SOURCES = ['kernels/native', 'kernels/include', 'firmware-bridge/flash'];

/** Progress goes to stderr, so that stdout holds nothing but what was asked for. */
const say = (line) => process.stderr.write(`${line}\n`);

/**
 * Does all three steps; with `spool`, also gives sqlite3 its binary, which the engine does without. Ends the process with
 * a plain message when a step cannot be done.
 */
export function setUp({ spool = false } = {}) {
  const [major] = process.versions.node.split('.');
  if (Number(major) < 20) fail(`PocketMoE needs Node 20 or newer; this is ${process.version}.`);
  if (!dependenciesInstalled() || (spool && !existsSync(SQLITE))) installDependencies();
  if (spool) buildSqlite();
  buildNative();
  bundleIfStale();
}

function fail(message) {
  say(message);
  process.exit(1);
}

/** True when node_modules holds every package of the lock file in its version; optional ones may be missing. */
function dependenciesInstalled() {
  const read = (path) => {
    try {
      return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
    } catch {
      return null;
    }
  };
  const installed = read('node_modules/.package-lock.json');
  if (installed === null) return false;
  const locked = read('package-lock.json') ?? installed;
  return Object.entries(locked).every(
    ([path, { version, optional }]) =>
      path === '' ||
      optional ||
      (installed[path]?.version === version && existsSync(join(root, path, 'package.json'))),
  );
}

function installDependencies() {
  say('Installing dependencies…');
  const command = existsSync(join(root, 'package-lock.json')) ? 'ci' : 'install';
  // The native library is built by the next step, which says so; the packages work without their install scripts.
  const failure = npm(command, '--ignore-scripts', '--no-audit', '--no-fund');
  if (failure !== null) fail(`${failure}\nThe dependencies could not be installed (npm ${command}).`);
}

/** Fetches the binary of sqlite3, or compiles it, if it does not load. */
function buildSqlite() {
  const loads = () =>
    spawnSync(process.execPath, ['-e', "require('sqlite3')"], { cwd: root, stdio: 'ignore' }).status === 0;
  if (loads()) return;
  say('Fetching or compiling sqlite3 (a minute or two, once)…');
  const failure = npm('rebuild', 'sqlite3', '--ignore-scripts=false');
  if (!loads())
    fail(`${failure ?? ''}\nsqlite3 could not be built: it needs Python, make and a C++ compiler.`);
}

/** Runs npm; returns what it printed when it failed, otherwise null. */
function npm(...options) {
  const path = process.env.npm_execpath;
  const [program, ...first] = path?.endsWith('js') ? [process.execPath, path] : ['npm'];
  const { status, stdout, stderr, error } = spawnSync(program, [...first, ...options, '--loglevel=error'], {
    cwd: root,
    encoding: 'utf8',
  });
  return status === 0 ? null : `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`;
}

/** Compiles what changed. Without a compiler this warns, and the slow TypeScript kernels run. */
function buildNative() {
  if (!nativeIsNew()) say('Compiling the native library…');
  const script = join(root, 'scripts', 'build-native.mjs');
  // It knows exactly what to compile again, and tells what went wrong on stderr.
  const { status } = spawnSync(process.execPath, [script, '--optional'], {
    cwd: root,
    stdio: ['ignore', 'ignore', 2],
  });
  if (status !== 0) fail('The native library could not be built.');
}

/** True when no source was written after the library; only for what is said. */
function nativeIsNew() {
  const library = join(root, 'build', 'libpocketmoe.so');
  if (!existsSync(library)) return false;
  const { mtimeMs } = statSync(library);
  return NATIVE_SOURCES.every((folder) =>
    readdirSync(join(root, folder)).every(
      (name) => !/\.(cpp|h)$/.test(name) || statSync(join(root, folder, name)).mtimeMs <= mtimeMs,
    ),
  );
}

/** Bundles when a source changed. */
function bundleIfStale() {
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hashSources()) return;
  say('Bundling…');
  const script = join(root, 'scripts', 'build.mjs');
  const { status } = spawnSync(process.execPath, [script], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail('The bundles could not be built.');
}
