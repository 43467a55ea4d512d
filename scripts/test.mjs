/**
 * `npm test`: sets up, checks types and style, runs the tests. Arguments go to jest: `npm test -- test/cli`;
 * --no-checks leaves types and style out. The last line is the count, alone on its line.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setUp } from './set-up.mjs';
import { root } from './sources.mjs';

const run = (...args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0;
const tool = (...path) => join(root, 'node_modules', ...path);

const given = process.argv.slice(2);
const jestArguments = given.filter((argument) => argument !== '--no-checks');
const checks = [
  ['types', tool('typescript', 'bin', 'tsc'), '-p', 'tsconfig.json', '--noEmit'],
  ['style', tool('eslint', 'bin', 'eslint.js'), '.'],
];

setUp({ spool: true });
let ok = true;
for (const [what, ...args] of given.includes('--no-checks') ? [] : checks) {
  const passed = run(...args);
  console.log(`${what}: ${passed ? 'ok' : 'FAILED'}`);
  ok &&= passed;
}

const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-test-'));
const report = join(folder, 'report.json');
let counts = {
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: 0,
};
try {
  const jest = tool('jest', 'bin', 'jest.js');
  const passed = run(
    '--experimental-vm-modules',
    '--no-warnings',
    jest,
    '--json',
    `--outputFile=${report}`,
    ...jestArguments,
  );
  ok &&= passed;
  counts = JSON.parse(readFileSync(report, 'utf8'));
} catch {
  console.error('jest left no report.');
  ok = false;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// A file that does not load has no tests to count; it must not look like success.
const failed = counts.numFailedTests + counts.numRuntimeErrorTestSuites;
const skipped = counts.numPendingTests + counts.numTodoTests;
console.log(`tests: ${counts.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = ok && failed === 0 ? 0 : 1;
