/**
 * `npm run bench`: speed, bytes and memory beside llama.cpp in one run, and what of the machine's limits is reached.
 * docs/benchmarks.md says how to run it and how to read it.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { evaluationSet, demoPrompt } from '../test/peer/answers.js';
import { app } from './bench/app.js';
import { Bench } from './bench/bench.js';
import { demoBelady, limitedDecode, limitedPrefill } from './bench/limited.js';
import { describeMachine, MachineLimits } from './bench/machine.js';
import { DEMO, ModelFolder, QWEN, small, smallThinker } from './bench/models.js';
import { resident } from './bench/resident.js';
import { sizes } from './bench/size.js';
import { startUp } from './bench/start-up.js';
import { table } from './bench/table.js';

const HELP = `npm run bench -- [options]
  --quick              the demo model and one of 300 MB, short runs: to try the harness, not to quote
  --only REGEX         figures whose name matches
  --rounds N           interleaved rounds (default 5; 3 with --quick)
  --threads LIST       default 1,2
  --skew LIST          how uneven the routers of limited runs are (default 0,1; 0: flat)
  --models DIR         where models are made and kept (default build/bench/models; about 16 GB)
  --model-dir DIR      where models of limited runs lie: any mounted device (default: as --models)
  --read-ahead LIST    KiB: tries the mapping peer with each, its best counts (sets the device's read-ahead; root)
  --peer-lbench PATH   one more engine for limited decode: PATH MODEL THREADS 0 COUNT 1 0 32 prints "tg tok/s min A med B"
  --peer-models DIR    where its models lie, under our names (default: as ours)
  --gguf               ours opens the GGUF file itself, not the package made from it
  --patience SECONDS   wait that long for a quiet machine before each measurement (default 20; 2 with --quick)
  --clean              remove models when done with them
  --json               {rows, machine, …} on stdout instead of a table`;

const root = process.cwd();
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    skew: { type: 'string', default: '0,1' },
    models: { type: 'string', default: join(root, 'build', 'bench', 'models') },
    'model-dir': { type: 'string' },
    'read-ahead': { type: 'string' },
    'peer-lbench': { type: 'string' },
    'peer-models': { type: 'string' },
    gguf: { type: 'boolean', default: false },
    patience: { type: 'string' },
    clean: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}

const { quick } = values;
const numbers = (text: string, name: string, least: number): number[] =>
  text.split(',').map((part) => {
    const value = Number(part);
    if (part.trim() !== '' && value >= least && Number.isFinite(value)) return value;
    throw new Error(`--${name} takes numbers from ${least} on, separated by commas, not "${text}"`);
  });
const say = (line: string) => void process.stderr.write(`${line}\n`);
const demo = join(root, 'models', 'home-assistant-q4.gguf');
const models = new ModelFolder(resolve(values.models), demo, say);
const flashModels = new ModelFolder(resolve(values['model-dir'] ?? values.models), demo, say);
const limits = new MachineLimits();
const bench = new Bench(
  {
    root,
    quick,
    only: values.only === undefined ? null : new RegExp(values.only, 'i'),
    rounds: numbers(values.rounds ?? (quick ? '3' : '5'), 'rounds', 1)[0]!,
    threads: numbers(values.threads, 'threads', 1),
    skews: numbers(values.skew, 'skew', 0),
    readAhead: values['read-ahead'] === undefined ? [] : numbers(values['read-ahead'], 'read-ahead', 0),
    gguf: values.gguf,
    external:
      values['peer-lbench'] === undefined
        ? null
        : {
            program: resolve(values['peer-lbench']),
            models:
              values['peer-models'] === undefined
                ? null
                : new ModelFolder(resolve(values['peer-models']), demo, say),
          },
    patience: numbers(values.patience ?? (quick ? '2' : '20'), 'patience', 0)[0]!,
  },
  models,
  flashModels,
  limits,
);
const machine = describeMachine();
if (machine.warning !== null) say(machine.warning);
const { threads, skews } = bench.options;
const flat = quick ? small(0) : smallThinker(0);

const failures: string[] = [];
/** One group of figures; a failure is told and leaves the others alone. */
async function group(measure: () => void | Promise<void>): Promise<void> {
  try {
    await measure();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    failures.push(message);
    say(`FAILED: ${message}`);
  }
}

await group(() => sizes(bench));
await group(() => startUp(bench));
const commands = evaluationSet('commands').map(
  ({ request, answer }) => `${demoPrompt(request)}${answer}<|im_end|>\n`,
);
await group(() => demoBelady(bench, DEMO, commands));
await group(() => app(bench, DEMO));
for (const model of quick ? [DEMO, flat] : [DEMO, flat, QWEN]) {
  for (const count of threads) await group(() => resident(bench, model, count));
  if (values.clean && model === QWEN) models.remove(model);
}
await group(() => app(bench, flat));
for (const count of threads) await group(() => limitedPrefill(bench, flat, count));
for (const skew of skews) {
  const model = quick ? small(skew) : smallThinker(skew);
  for (const count of threads) await group(() => limitedDecode(bench, model, skew, count));
  if (values.clean) flashModels.remove(model);
}
if (values.clean) models.remove(flat);

const report = {
  rows: bench.rows,
  machine: { ...machine, ...limits.report() },
  options: {
    quick,
    rounds: bench.options.rounds,
    threads,
    skews,
    gguf: values.gguf,
    modelDir: values['model-dir'] ?? null,
  },
  measurements: bench.measurements,
  noisyMeasurements: bench.noisy,
  failures,
};
process.exitCode = failures.length > 0 ? 1 : 0;
bench.keep('report', report);
if (values.json) console.log(JSON.stringify(report, null, 1));
else {
  const gigabytes = (n: number) => `${(n / 1e9).toFixed(1)} GB/s`;
  console.log(`\n${table(bench.rows)}\n`);
  console.log(
    `${machine.processor}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ${machine.isa}, Linux ${machine.kernel}, Node ${machine.node}`,
  );
  for (const [count, rate] of Object.entries(report.machine.memoryBytesPerSecond))
    console.log(`DRAM reads, ${count} thread(s): ${gigabytes(rate)}`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  for (const [path, rate] of Object.entries(report.machine.flashBytesPerSecond))
    console.log(`Flash reads, ${path}: ${gigabytes(rate)}`);
  if (bench.noisy > 0)
    console.log(
      `${bench.noisy} of ${bench.measurements} measurements began on a busy machine: do not quote these figures.`,
    );
}
