/**
 * `node scripts/test-arm64.mjs [--host]`: tests the arm64 library in an emulator: its self-test, then every vector
 * of the TypeScript reference. Cross-compiled with aarch64-linux-gnu-g++, run by qemu-aarch64-static. On an arm64
 * machine, or with --host, the machine's own library is tested on its own CPU. The last line is the count.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  buildLibrary,
  buildVectors,
  chosenIsa,
  runSelftest,
  runVectors,
  writeVectors,
} from './native-vectors.mjs';
import { root } from './sources.mjs';

const COMPILER = 'aarch64-linux-gnu-g++';
const EMULATOR = 'qemu-aarch64-static';
/** The other machine's libraries, as Debian's cross compiler brings them. */
const SYSTEM = '/usr/aarch64-linux-gnu';

const counts = { passed: 0, failed: 0, skipped: 0 };
const onHost = process.arch === 'arm64' || process.argv.includes('--host');
const missing = onHost ? [] : [COMPILER, EMULATOR].filter((tool) => !works(tool));
try {
  if (missing.length > 0) {
    console.log(
      `The arm64 kernels are not tested: ${missing.join(' and ')} ${missing.length > 1 ? 'are' : 'is'} missing ` +
        '(Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static).',
    );
    counts.skipped = 1;
  } else if (onHost) testHost();
  else testEmulated();
} catch (error) {
  console.error(error.message);
  counts.failed++;
}
console.log(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;

function works(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

function add({ passed, failed }) {
  counts.passed += passed;
  counts.failed += failed;
}

function expectChosen(what, chosen, wanted) {
  add({ passed: Number(chosen === wanted), failed: Number(chosen !== wanted) });
  if (chosen !== wanted) console.log(`failed: ${what} uses ${chosen}, not ${wanted}`);
}

function testEmulated() {
  const file = writeVectors();
  buildLibrary('--target', 'arm64');
  add(runSelftest('--target', 'arm64'));
  const program = buildVectors(COMPILER, join(root, 'build', 'arm64'));
  const on = (cpu) => [EMULATOR, '-L', SYSTEM, '-cpu', cpu, program];
  // The CPUs of a Raspberry Pi 3 and 5: instructions that these lack must not be used on them.
  const known = spawnSync(EMULATOR, ['-cpu', 'help'], { encoding: 'utf8' }).stdout;
  const newer = /\bcortex-a76\b/.test(known) ? 'cortex-a76' : 'max';
  for (const [isa, cpu] of [
    ['portable', 'cortex-a53'],
    ['neon', 'cortex-a53'],
    ['neon-dotprod', newer],
  ])
    add(runVectors(on(cpu), file, isa));
  expectChosen('cortex-a53', chosenIsa(on('cortex-a53')), 'neon');
  expectChosen(newer, chosenIsa(on(newer)), 'neon-dotprod');
  // One that the CPU lacks is not taken even when asked for.
  const forced = { POCKETMOE_ISA: 'neon-dotprod' };
  expectChosen('cortex-a53 asked for neon-dotprod', chosenIsa(on('cortex-a53'), forced), 'neon');
}

function testHost() {
  const file = writeVectors();
  buildLibrary();
  add(runSelftest());
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find((name) => name && works(name));
  const program = buildVectors(compiler, join(root, 'build'));
  const isas = process.arch === 'arm64' ? ['neon', 'neon-dotprod'] : ['avx2', 'avx512'];
  for (const isa of ['portable', ...isas])
    if (chosenIsa([program], { POCKETMOE_ISA: isa }) === isa) add(runVectors([program], file, isa));
    else console.log(`${isa}: not on this CPU`);
}
