/**
 * `node scripts/test-sanitized.mjs`: the native library under AddressSanitizer and UBSan. First the
 * self-test and test/native/vectors.cpp on every instruction set of this CPU, then the tests of kernels, flash and
 * engine faults in Node. Fails when a test fails or a sanitizer reports anything. The last line is the count.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import {
  buildLibrary,
  buildVectors,
  chosenIsa,
  runSelftest,
  runVectors,
  writeVectors,
} from './native-vectors.mjs';
import { root } from './sources.mjs';

const TESTS = ['test/kernels', 'test/flash', 'test/engine/faults.test.ts'];
const SANITIZE = [
  '-g',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=undefined',
];
const BUILT = join(root, 'build', 'sanitize');

const counts = { passed: 0, failed: 0, skipped: 0 };
const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-sanitized-'));
try {
  const tools = findTools();
  if (tools) test(tools);
  else {
    console.log(
      'The native library is not tested under sanitizers: no compiler here brings libasan.so (Debian: apt-get install g++).',
    );
    counts.skipped = 1;
  }
} catch (error) {
  console.error(error.message);
  counts.failed++;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;

/** A compiler whose sanitizer can be loaded before Node, and whether leaks can be found here; or null. */
function findTools() {
  const probe = join(folder, 'probe');
  writeFileSync(`${probe}.cpp`, 'int main() { return 0; }\n');
  for (const compiler of [process.env.CXX, 'c++', 'g++'].filter(Boolean)) {
    const { stdout, status } = spawnSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' });
    const runtime = stdout?.trim() ?? '';
    if (status !== 0 || !isAbsolute(runtime) || !existsSync(runtime)) continue;
    if (spawnSync(compiler, [...SANITIZE, `${probe}.cpp`, '-o', probe]).status !== 0) continue;
    const runs = (leaks) =>
      spawnSync(probe, { env: { ...process.env, ASAN_OPTIONS: `detect_leaks=${leaks}` } }).status === 0;
    // Leaks are found by tracing the process, which some containers forbid.
    if (runs(0)) return { compiler, runtime, leaks: Number(runs(1)) };
  }
  return null;
}

function test({ compiler, runtime, leaks }) {
  const file = writeVectors();
  const build = ['--sanitize', '--cxx', compiler];
  buildLibrary(...build);
  add(runSelftest(...build));
  const program = buildVectors(compiler, BUILT, ...SANITIZE);
  const isas = process.arch === 'arm64' ? ['neon', 'neon-dotprod'] : ['avx2', 'avx512'];
  for (const isa of ['portable', ...isas])
    if (chosenIsa([program], { POCKETMOE_ISA: isa, ...options(0) }) === isa)
      add(runVectors([program], file, isa, options(leaks)));
    else console.log(`${isa}: not on this CPU`);
  takeReports();

  // Node itself is not made for finding leaks.
  const env = {
    ...process.env,
    ...options(0),
    LD_PRELOAD: runtime,
    POCKETMOE_LIBRARY: join(BUILT, 'libpocketmoe.so'),
  };
  expectReport('a read past the end', 'heap-buffer-overflow', 'pm_argmax(start, 5)', env);
  expectReport('a misaligned write', 'runtime error', 'pm_scale(start + 1, 2, 1)', env);
  runTests(env);
  takeReports();
}

/**
 * AddressSanitizer's reports go to files, which no test can hide; UBSan's, loaded late, to stderr. Either ends its
 * process. Allocating more than there is returns null, as usual.
 */
function options(leaks) {
  const common = `halt_on_error=1:abort_on_error=1:print_stacktrace=1:log_path=${join(folder, 'report')}`;
  return {
    ASAN_OPTIONS: `${common}:detect_leaks=${leaks}:allocator_may_return_null=1:detect_stack_use_after_return=1`,
    UBSAN_OPTIONS: common,
  };
}

function add({ passed, failed }) {
  counts.passed += passed;
  counts.failed += failed;
}

/** What the sanitizers wrote since the last call; warnings are not reports. */
function reports() {
  return readdirSync(folder)
    .filter((name) => name.startsWith('report'))
    .map((name) => {
      const text = readFileSync(join(folder, name), 'utf8');
      rmSync(join(folder, name));
      return text;
    })
    .filter((text) => /ERROR: |runtime error: /.test(text));
}

/** Prints the reports there are; each counts as a failure. */
function takeReports() {
  for (const report of reports()) {
    console.log(`failed: a sanitizer reports\n${report}`);
    counts.failed++;
  }
}

/** Makes sure that a mistake in the library would be seen, by making one through its interface. */
function expectReport(what, wanted, call, env) {
  const code = `
    const library = require('koffi').load(process.env.POCKETMOE_LIBRARY);
    const pm_alloc = library.func('pm_alloc', 'int64_t', ['size_t']);
    const pm_argmax = library.func('pm_argmax', 'int32_t', ['int64_t', 'int32_t']);
    const pm_scale = library.func('pm_scale', 'void', ['int64_t', 'float', 'int64_t']);
    const start = pm_alloc(16);
    ${call};`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', code], { cwd: root, env, encoding: 'utf8' });
  const seen = status !== 0 && [stderr, ...reports()].some((report) => report.includes(wanted));
  add({ passed: Number(seen), failed: Number(!seen) });
  if (!seen) console.log(`failed: ${what} is not reported`);
}

function runTests(env) {
  const report = join(folder, 'jest.json');
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const { status } = spawnSync(
    process.execPath,
    ['--experimental-vm-modules', '--no-warnings', jest, '--json', `--outputFile=${report}`, ...TESTS],
    { cwd: root, env, stdio: 'inherit' },
  );
  const found = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : null;
  if (!found) console.log('failed: jest left no report');
  add({
    passed: found?.numPassedTests ?? 0,
    failed: found ? found.numFailedTests + found.numRuntimeErrorTestSuites : 1,
  });
  counts.skipped += found ? found.numPendingTests + found.numTodoTests : 0;
  if (status !== 0 && counts.failed === 0) counts.failed++;
}
