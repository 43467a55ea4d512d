import type { Command } from 'commander';
import { OptionError } from '../index.js';
import { addEngineFlags, engineOptions, tokenIds, whole } from './arguments.js';
import { measureExactness, readRequests } from './eval-requests.js';
import { writeLogits } from './eval-logits.js';
import { measurePerplexity } from './eval-text.js';
import { readInput } from './input-file.js';
import { withModel } from './open.js';
import type { Terminal } from './terminal.js';

interface EvalFlags {
  text?: string;
  requests?: string;
  tokens?: number[];
  logits?: string;
  windows?: number;
  windowTokens: number;
  maxTokens: number;
  verbose?: true;
}

export function describe(command: Command): void {
  addEngineFlags(command.argument('<model>', 'GGUF file or package'))
    .option('--text <file>', 'perplexity of a text, in windows that each start with nothing before them')
    .option('--windows <n>', 'most windows of the text', whole(1))
    .option(
      '--window-tokens <n>',
      'tokens per window, at most the context; its first is not scored',
      whole(2),
      256,
    )
    .option('--requests <file>', 'exact answers: lines of {"request": …, "answer": …}, answered greedily')
    .option('--max-tokens <n>', 'most tokens per answer', whole(1), 256)
    .option('--verbose', 'print the answers that differ')
    .option('--tokens <ids>', 'token ids to write logits of: 1,2,3', tokenIds)
    .option('--logits <file>', 'where to: a row of little-endian float32 per token')
    .addHelpText(
      'after',
      `
Examples:
  pocketmoe eval model.gguf --text text.txt --windows 64
  pocketmoe eval model.gguf --requests commands.jsonl --verbose
  pocketmoe eval model.gguf --tokens 1,2,3 --logits logits.f32
`,
    );
}

export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [path] = args as [string];
  const { text, requests, tokens, logits, windows, windowTokens, maxTokens, verbose } =
    flags as unknown as EvalFlags;
  if ((tokens === undefined) !== (logits === undefined))
    throw new OptionError('option/logits', 'only one of --tokens and --logits was given', 'Give both.');
  if (text === undefined && requests === undefined && tokens === undefined)
    throw new OptionError(
      'option/eval',
      'nothing to evaluate was given',
      'Give --text FILE, --requests FILE, or --tokens IDS --logits FILE.',
    );
  // Read before the model is opened: a wrong path is told at once.
  const wholeText = text === undefined ? null : await readInput(text);
  const lines = requests === undefined ? null : await readRequests(requests);

  await withModel(terminal, path, engineOptions(flags), async (model) => {
    const result = {
      exact: null as number | null,
      count: null as number | null,
      perplexity: null as number | null,
      tokens: null as number | null,
    };
    const extra: Record<string, unknown> = {};
    const report: string[] = [];
    if (wholeText !== null) {
      const found = await measurePerplexity(terminal, model, wholeText, { windows, windowTokens });
      result.perplexity = found.perplexity;
      result.tokens = found.tokens;
      extra['windows'] = found.windows;
      report.push(
        `perplexity ${found.perplexity.toFixed(3)} over ${found.tokens} tokens in ${found.windows} windows of ${found.windowTokens}`,
      );
    }
    if (lines !== null) {
      const { exact, differing } = await measureExactness(terminal, model, lines, maxTokens);
      result.exact = exact;
      result.count = lines.length;
      if (verbose) {
        extra['differing'] = differing;
        for (const { line, request, expected, answer } of differing)
          report.push(`line ${line}: ${request}`, `  expected ${expected}`, `  answered ${answer}`);
      }
      report.push(
        `${exact} of ${lines.length} answers exact (${((100 * exact) / lines.length).toFixed(1)} %)`,
      );
    }
    if (tokens !== undefined && logits !== undefined) {
      const { rows, columns } = await writeLogits(terminal, model, tokens, logits);
      if (wholeText === null) result.tokens = rows;
      extra['logits'] = { path: logits, rows, columns };
      report.push(`${rows} rows of ${columns} logits in ${logits}`);
    }
    terminal.result({ ...result, ...extra }, report);
  });
  return 0;
}
