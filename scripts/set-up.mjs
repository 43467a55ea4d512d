/**
 * Makes a checkout ready to run: dependencies, native library, bundles. Does only what is missing or out of date, and
 * needs nothing but Node and npm.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hashSources, root, STAMP } from './sources.mjs';

const NATIVE_SOURCES = ['kernels/native', 'kernels/include', 'firmware-bridge/flash'];

/** Progress goes to stderr, so that stdout holds nothing but what was asked for. */
const say = (line) => process.stderr.write(`${line}\n`);

/** Does all three steps. Ends the process with a plain message when one cannot be done. */
export function setUp() {
  const [major] = process.versions.node.split('.');
  if (Number(major) < 20) fail(`PocketMoE needs Node 20 or newer; this is ${process.version}.`);
  if (!dependenciesInstalled()) installDependencies();
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
  const options = [command, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const [program, ...first] = npm?.endsWith('js') ? [process.execPath, npm] : ['npm'];
  const { status, stdout, stderr, error } = spawnSync(program, [...first, ...options], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status === 0) return;
  fail(
    `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}\nThe dependencies could not be installed (npm ${command}).`,
  );
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
