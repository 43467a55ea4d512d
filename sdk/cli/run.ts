import { writeFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import { encodeTrace, formatBytes, OptionError, type GenerationSummary, type Model } from '../index.js';
import { addEngineFlags, engineOptions, number, whole } from './arguments.js';
import { withModel } from './open.js';
import type { Terminal } from './terminal.js';

export function describe(command: Command): void {
  command
    .argument('<model>', 'GGUF file or package')
    .argument('[prompt]', 'the request; default: read from stdin');
  addEngineFlags(command)
    .option('--max-tokens <n>', 'most tokens to generate', whole(1), 256)
    .option('--temperature <t>', '0 always takes the most likely token', number, 0)
    .option('--seed <n>', 'same seed, same text', whole(0), 0)
    .option('--raw', 'continue the prompt as it is, without the chat template')
    .option('--trace <file>', 'record which experts each token used, for `pocketmoe replay`')
    .addHelpText(
      'after',
      `
The answer goes to stdout as it is made, what happened to stderr.

Examples:
  pocketmoe run model.pocketmoe "dim the kitchen lights to 40" --memory 1GiB
  pocketmoe run model.gguf --raw "Call me Ishmael." --max-tokens 50 --temperature 0.8 --seed 7
`,
    );
}

export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [path, given] = args as [string, string?];
  const prompt = given ?? (await promptFromStdin(terminal));
  const { maxTokens, temperature, seed } = flags as { maxTokens: number; temperature: number; seed: number };
  const options = { maxTokens, temperature, seed, signal: terminal.signal };
  await withModel(terminal, path, engineOptions(flags), async (model) => {
    const openMs = performance.now();
    const trace = flags['trace'] as string | undefined;
    if (trace !== undefined) await model.startTrace();
    const session = model.createSession();
    const generation =
      flags['raw'] === true
        ? session.generate(prompt, options)
        : session.chat([{ role: 'user', content: prompt }], options);
    let firstMs: number | null = null;
    for await (const { text } of generation) {
      firstMs ??= performance.now();
      terminal.stream(text);
    }
    terminal.endStream();
    const summary = generation.summary!;
    if (trace !== undefined) await writeFile(trace, encodeTrace(await model.stopTrace()));
    const { description } = model;
    terminal.result(
      { ...summary, start: { openMs, firstTokenMs: firstMs }, model: describeEngine(model) },
      [],
    );
    for (const line of report(summary, description)) terminal.note(line);
  });
  return 0;
}

async function promptFromStdin(terminal: Terminal): Promise<string> {
  if (process.stdin.isTTY)
    throw new OptionError(
      'option/prompt',
      'there is no prompt',
      'Give it in quotes: pocketmoe run MODEL "dim the lights".',
    );
  return (await terminal.untilAborted(readAll(process.stdin))).replace(/\r?\n$/, '');
}

/** What the figures were made with. */
function describeEngine({ description }: Model) {
  const { architecture, name, digest, contextLength, isa, threads, policy, flash, slots, layers, experts } =
    description;
  return {
    architecture,
    name,
    digest,
    contextLength,
    isa,
    threads,
    policy,
    flash,
    slots,
    experts: layers * experts,
  };
}

function report(
  summary: GenerationSummary,
  { slots, layers, experts: perLayer }: Model['description'],
): string[] {
  const { tokens, promptTokens, tokensPerSecond, firstTokenMs, flash, experts, memory, finish } = summary;
  const share = experts.requests > 0 ? Math.round((100 * experts.hits) / experts.requests) : 100;
  const ended = { end: '', length: ' (stopped at --max-tokens)', context: ' (the context is full)' }[finish];
  return [
    `${tokens} tokens${ended} at ${tokensPerSecond.toFixed(1)} tokens/s; the first after ${Math.round(firstTokenMs)} ms, ${promptTokens} tokens of prompt included`,
    `flash    ${formatBytes(flash.bytes)} read, ${formatBytes(flash.bytesPerToken)} per token; computing waited ${flash.stallMs.toFixed(1)} ms`,
    `experts  ${experts.requests} requests: ${experts.hits} hits (${share} %), ${experts.misses} misses, ${experts.late} of them late; ${experts.evictions} evictions; ${slots} slots for ${layers * perLayer} experts`,
    `memory   ${formatBytes(memory.peakBytes)} at most, of ${formatBytes(memory.budgetBytes)}`,
  ];
}
