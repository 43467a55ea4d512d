import { Command, CommanderError } from 'commander';
import { Terminal } from './terminal.js';
import { VERSION } from './version.js';

/** What a command file exports: its arguments and options, and what it does. */
export interface CommandFile {
  describe(command: Command): void;
  /** @returns the exit status; throws typed errors */
  run(terminal: Terminal, args: string[], flags: Record<string, unknown>): Promise<number>;
}

/** Loaded only when used: starting fast is part of the first token's time. */
const COMMANDS: Readonly<Record<string, { summary: string; load: () => Promise<CommandFile> }>> = {
  plan: {
    summary: 'say whether a model fits, how fast it may be and what limits it',
    load: () => import('./plan.js'),
  },
  pack: {
    summary: 'turn a GGUF file into a package, made for reading experts',
    load: () => import('./pack.js'),
  },
  run: { summary: 'answer one request', load: () => import('./run.js') },
  inspect: { summary: 'say what a model holds, or check its bytes', load: () => import('./inspect.js') },
  eval: { summary: 'measure perplexity, exact answers, or write logits', load: () => import('./eval.js') },
  replay: { summary: 'compare cache policies on a recorded trace', load: () => import('./replay.js') },
};

const EXAMPLES = `
Examples:
  pocketmoe plan model.gguf --memory 1GiB
  pocketmoe pack model.gguf model.pocketmoe
  pocketmoe run model.pocketmoe "dim the kitchen lights to 40" --memory 1GiB
`;

const USAGE_STATUS = 2;

/** Runs one command line and returns its exit status. Prints results and errors; never throws. */
export async function runProgram(argv: string[], signal: AbortSignal): Promise<number> {
  const terminal = new Terminal(asksForJson(argv), signal);
  let status = 0;
  const program = new Command('pocketmoe')
    .description('Mixture-of-experts language models bigger than memory, streamed from flash.')
    .version(VERSION, '--version', 'print the version')
    .helpOption('--help', 'print help')
    .option('--json', 'print one JSON object')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES);
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const command = program.command(name).description(`${summary[0]!.toUpperCase()}${summary.slice(1)}.`);
    command.summary(summary).helpOption('--help', 'print help');
    if (!argv.includes(name)) continue;
    const file = await load();
    file.describe(command);
    command.option('--json', 'print one JSON object');
    command.action(async () => {
      status = await file.run(terminal, command.args, command.opts());
    });
  }
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
  try {
    if (argv.length === 0)
      throw new CommanderError(USAGE_STATUS, 'commander.missingCommand', 'no command was given');
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    return report(terminal, error);
  }
}

/** --json among the options; behind "--" it is an argument. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}

async function report(terminal: Terminal, error: unknown): Promise<number> {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0; // help or version was printed
    const [message = '', suggestion = ''] = error.message.split('\n');
    const code = error.code
      .replace('commander.', '')
      .replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const hint =
      suggestion.replace(/^\(|\)$/g, '') ||
      'pocketmoe --help lists the commands, pocketmoe COMMAND --help its options.';
    terminal.error({ code: `command/${code}`, message: message.replace(/^error: /, ''), hint });
    return USAGE_STATUS;
  }
  if (terminal.signal.aborted) {
    if ((terminal.signal.reason as Error).name === 'AbortError') terminal.stopped();
    return 1;
  }
  const { reportError } = await import('./report.js');
  const { smallestBytes } = error as { smallestBytes?: number };
  terminal.error(reportError(error), smallestBytes === undefined ? {} : { smallestBytes });
  return 1;
}
