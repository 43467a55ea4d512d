// Builds build/libpocketmoe.so from kernels/native and firmware-bridge/flash with the system's C++ compiler.
//
//   node scripts/build-native.mjs [--optional] [--sanitize] [--selftest] [--target arm64] [--cxx COMPILER] [--force]
//
// --optional   no compiler, or a failing one, is a warning and exit code 0: the TypeScript reference runs then
// --sanitize   AddressSanitizer and UBSan, into build/sanitize/
// --selftest   builds and runs the self-test of the kernels as well (arm64 elsewhere: with qemu-aarch64-static)
// --target     arm64: cross-compile with aarch64-linux-gnu-g++, into build/arm64/
//
// Only what changed is compiled again: each object remembers the command that made it and the files it read.
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const SOURCES = ['kernels/native', 'firmware-bridge/flash'];
const JOBS = 2;

/** Flags of each instruction set; sources named *.simd.cpp are compiled once for each. */
const ISAS = {
  x64: {
    portable: [],
    avx2: ['-DPM_USE_AVX2', '-mavx2', '-mfma', '-mf16c', '-mbmi2'],
    avx512: [
      '-DPM_USE_AVX512',
      ...['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mavx512vnni'],
      ...['-mavx2', '-mfma', '-mf16c', '-mbmi2'],
    ],
  },
  arm64: {
    portable: [],
    neon: ['-DPM_USE_NEON'],
    neon_dotprod: ['-DPM_USE_NEON', '-march=armv8.2-a+dotprod+fp16'],
  },
  other: { portable: [] },
};

/**
 * AddressSanitizer finds what the left-out checks of pointers would, and the kernels compile in a third of the time
 * without them.
 */
const SANITIZE = [
  '-fsanitize=address,undefined',
  '-fno-sanitize=null,object-size,vptr,pointer-overflow',
  '-fno-sanitize-recover=undefined',
];

/** Memory checks as calls instead of inline: compiled in a third of the time again. */
const CALLS = {
  gcc: ['--param', 'asan-instrumentation-with-call-threshold=0'],
  clang: ['-mllvm', '-asan-instrumentation-with-call-threshold=0'],
};

/** Reads the command line; throws on what it does not know. */
function readOptions(args) {
  const options = {
    optional: false,
    sanitize: false,
    selftest: false,
    force: false,
    target: process.arch,
    cxx: '',
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg === '--optional') options.optional = true;
    else if (arg === '--sanitize') options.sanitize = true;
    else if (arg === '--selftest') options.selftest = true;
    else if (arg === '--force') options.force = true;
    else if ((arg === '--target' || arg === '--cxx') && args[i + 1]) options[arg.slice(2)] = args[++i];
    else
      throw new Error(
        `unknown option ${arg}; known: --optional --sanitize --selftest --force --target ARCH --cxx COMPILER`,
      );
  }
  return options;
}

function works(compiler) {
  return spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** The first compiler that answers, or null. */
function findCompiler(options) {
  const cross = options.target === 'arm64' && process.arch !== 'arm64';
  const candidates = options.cxx
    ? [options.cxx]
    : cross
      ? ['aarch64-linux-gnu-g++']
      : [process.env.CXX, 'c++', 'g++', 'clang++'];
  return candidates.find((c) => c && works(c)) ?? null;
}

/** Everything that has to be compiled: object path and the arguments that make it. */
function plan(directory, options) {
  const isas = ISAS[options.target] ?? ISAS.other;
  const common = [
    '-std=c++20',
    '-fPIC',
    '-ffp-contract=off',
    '-fvisibility=hidden',
    '-Wall',
    '-Wextra',
    '-pthread',
  ];
  const optimise = options.sanitize
    ? ['-O1', '-g', '-fno-omit-frame-pointer', ...SANITIZE, ...CALLS[options.clang ? 'clang' : 'gcc']]
    : ['-O3'];
  const objects = [];
  for (const folder of SOURCES) {
    const path = join(root, folder);
    if (!existsSync(path)) continue;
    for (const name of readdirSync(path).sort()) {
      if (!name.endsWith('.cpp')) continue;
      const source = join(folder, name);
      const stem = `${folder.replaceAll('/', '-')}-${basename(name, '.cpp')}`;
      if (!name.endsWith('.simd.cpp')) {
        objects.push({ source, object: join(directory, 'obj', `${stem}.o`), args: [...optimise, ...common] });
        continue;
      }
      for (const [isa, flags] of Object.entries(isas))
        objects.push({
          source,
          object: join(directory, 'obj', `${stem}.${isa}.o`),
          args: [...optimise, ...common, `-DPM_ISA=${isa}`, ...flags],
        });
    }
  }
  // The longest compilations begin first, so that two of them do not end up behind one another.
  return objects.sort((a, b) => Number(b.source.includes('matmul')) - Number(a.source.includes('matmul')));
}

/** Whether `output` was made by this command and is newer than all files it was made from. */
function isFresh(output, stamp, dependencies) {
  const stampFile = `${output}.stamp`;
  if (!existsSync(output) || !existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp)
    return false;
  const made = statSync(output).mtimeMs;
  return dependencies.every((file) => existsSync(file) && statSync(file).mtimeMs <= made);
}

/** Files an object was made from, out of the .d file that the compiler wrote. */
function dependenciesOf(object) {
  const file = object.replace(/\.o$/, '.d');
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8').replaceAll('\\\n', ' ');
  const names = text.slice(text.indexOf(': ') + 2).match(/(\\ |\S)+/g) ?? [];
  return names.map((name) => resolve(root, name.replaceAll('\\ ', ' ')));
}

function run(command, args) {
  return new Promise((done) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', (error) => done({ ok: false, output: String(error) }));
    child.on('close', (code) => done({ ok: code === 0, output }));
  });
}

async function build(options) {
  const started = Date.now();
  const compiler = findCompiler(options);
  if (!compiler) throw new Error('no C++ compiler was found');
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0];
  options.clang = /clang/.test(version);
  const cross = options.target !== process.arch;
  const directory = join(root, 'build', cross ? options.target : '', options.sanitize ? 'sanitize' : '');
  mkdirSync(join(directory, 'obj'), { recursive: true });

  const objects = plan(directory, options);
  const stale = objects.filter((o) => {
    o.stamp = `${version}\n${compiler} ${o.args.join(' ')} ${o.source}\n`;
    const dependencies = dependenciesOf(o.object);
    return options.force || !dependencies || !isFresh(o.object, o.stamp, dependencies);
  });
  const queue = [...stale];
  const failures = [];
  const compile = async () => {
    for (let o = queue.shift(); o && failures.length === 0; o = queue.shift()) {
      // Written beside and renamed: two builds at once (an install and a test) do not spoil each other's objects.
      const [made, list] = [`${o.object}.${process.pid}`, `${o.object}.${process.pid}.d`];
      const result = await run(compiler, [...o.args, '-MMD', '-MF', list, '-c', o.source, '-o', made]);
      if (result.output.trim()) process.stderr.write(result.output);
      if (result.ok) {
        renameSync(list, o.object.replace(/\.o$/, '.d'));
        renameSync(made, o.object);
        writeFileSync(`${o.object}.stamp`, o.stamp);
      } else failures.push(o.source);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, compile));
  if (failures.length > 0) throw new Error(`${compiler} could not compile ${failures.join(', ')}`);

  const library = join(directory, 'libpocketmoe.so');
  const link = ['-shared', '-pthread', ...(options.sanitize ? ['-fsanitize=address,undefined'] : ['-s'])];
  const inputs = objects.map((o) => o.object);
  const stamp = `${version}\n${compiler} ${link.join(' ')} ${inputs.join(' ')}\n`;
  if (stale.length > 0 || !isFresh(library, stamp, inputs)) {
    // Linked beside and renamed: a process that has the old library loaded keeps it intact.
    const made = `${library}.${process.pid}`;
    const result = await run(compiler, [...link, '-o', made, ...inputs]);
    if (!result.ok) throw new Error(`${compiler} could not link the library:\n${result.output}`);
    renameSync(made, library);
    writeFileSync(`${library}.stamp`, stamp);
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(
    `${relative(root, library)}: ${stale.length} of ${objects.length} objects compiled with ${compiler} in ${seconds} s`,
  );
  if (options.selftest) await selftest(compiler, directory, cross, options, inputs);
}

/** Links the self-test with the library's objects and runs it; throws when it fails. */
async function selftest(compiler, directory, cross, options, objects) {
  const program = join(directory, 'selftest');
  const flags = ['-std=c++20', '-O1', '-Wall', '-Wextra', '-pthread'];
  if (options.sanitize) flags.push('-g', ...SANITIZE);
  // An emulator has no libraries of the other machine.
  if (cross) flags.push('-static');
  const made = await run(compiler, [
    ...flags,
    ...['-o', program, 'kernels/native/selftest/selftest.cpp'],
    ...objects,
  ]);
  if (!made.ok) throw new Error(`${compiler} could not make the self-test:\n${made.output}`);
  const command = cross ? ['qemu-aarch64-static', '-cpu', 'max', program] : [program];
  const result = await run(command[0], command.slice(1));
  process.stdout.write(result.output);
  if (!result.ok) throw new Error(`the self-test failed (${command.join(' ')})`);
}

let options = { optional: process.argv.includes('--optional') };
try {
  options = readOptions(process.argv.slice(2));
  await build(options);
} catch (error) {
  if (options.optional) {
    console.warn(
      `warning: PocketMoE's native library was not built (${error.message}). The TypeScript reference will be ` +
        'used: correct, but very slow. Install a compiler (Debian: apt-get install g++) and run: npm run build:native',
    );
  } else {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
