/**
 * The native library tested without Node: its self-test, and test/native/vectors.cpp, which compares it with the
 * reference.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './sources.mjs';

/** Writes the reference's vectors; throws when that fails. Returns the file. */
export function writeVectors() {
  const file = join(root, 'build', 'vectors.bin');
  const script = join(root, 'scripts', 'run.mjs');
  succeed(process.execPath, [script, join('test', 'native', 'write-vectors.ts'), file]);
  return file;
}

/** Builds the library with scripts/build-native.mjs; throws when that fails. */
export function buildLibrary(...options) {
  succeed(process.execPath, [join(root, 'scripts', 'build-native.mjs'), ...options]);
}

/** Runs the library's self-test, built with the same options. */
export function runSelftest(...options) {
  try {
    buildLibrary('--selftest', ...options);
    return { passed: 1, failed: 0 };
  } catch {
    console.log('failed: the self-test');
    return { passed: 0, failed: 1 };
  }
}

/** Compiles vectors.cpp against the library in `folder`; throws when that fails. Returns the program. */
export function buildVectors(compiler, folder, ...flags) {
  const program = join(folder, 'vectors');
  succeed(compiler, [
    ...['-std=c++20', '-O1', '-Wall', '-Wextra', '-pthread', ...flags],
    ...[join('test', 'native', 'vectors.cpp'), '-o', program],
    ...['-L', folder, '-l:libpocketmoe.so', `-Wl,-rpath,${folder}`],
  ]);
  return program;
}

/** The instruction set that the library chooses when `env` says nothing else; null when it does not run. */
export function chosenIsa(command, env = {}) {
  const { status, stdout } = start([...command, '--isa'], env);
  return status === 0 ? stdout.trim() : null;
}

/** Runs the vectors on one instruction set. `command` is the program, maybe behind an emulator. */
export function runVectors(command, file, isa, env = {}) {
  const { status, signal, stdout, stderr } = start([...command, file, isa], { ...env, POCKETMOE_ISA: isa });
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  const [, passed = '0', failed = '0'] = /^\S+: (\d+) passed, (\d+) failed$/m.exec(stdout) ?? [];
  const counts = { passed: Number(passed), failed: Number(failed) };
  if (status === 0 && counts.passed > 0) return counts;
  if (counts.failed === 0) {
    console.log(`failed: ${isa} ended with ${signal ?? `code ${status}`}`);
    counts.failed = 1;
  }
  return counts;
}

function start([program, ...args], env) {
  return spawnSync(program, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } });
}

function succeed(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${program} ${args[0]} failed${error ? `: ${error.message}` : ''}`);
}
