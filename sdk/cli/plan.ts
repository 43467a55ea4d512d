import type { Command } from 'commander';
import { formatBytes, plan, type Plan } from '../index.js';
import { addEngineFlags, engineOptions } from './arguments.js';
import type { Terminal } from './terminal.js';

export function describe(command: Command): void {
  addEngineFlags(command.argument('<model>', 'GGUF file or package'));
  command.addHelpText('after', '\nExample:\n  pocketmoe plan model.gguf --memory 1GiB --context 2048\n');
}

/** Too little memory is an answer, not an error: the status is 0. */
export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [path] = args as [string];
  const found = await plan(path, { ...engineOptions(flags), signal: terminal.signal });
  terminal.result(found, lines(found));
  return 0;
}

function lines({
  fits,
  smallestBytes,
  largestBytes,
  limit,
  tokensPerSecond,
  bytesPerToken,
  memory,
  model,
}: Plan) {
  const total = model.layers * model.experts;
  const line = (what: string, bytes: number, note = '') =>
    `  ${what.padEnd(16)}${formatBytes(bytes).padStart(10)}${note}`;
  return [
    `${model.name}: ${model.architecture}, ${model.layers} layers of ${model.experts} experts, ${model.usedExperts} used, ${formatBytes(model.expertBytes)} each`,
    fits
      ? `It fits in ${formatBytes(memory.totalBytes)}.`
      : `It does not fit in ${formatBytes(memory.totalBytes)}: it needs ${Math.ceil(smallestBytes / 2 ** 20)}MiB or more. With that:`,
    line('runtime', memory.runtimeBytes),
    line('dense weights', memory.denseBytes),
    line('KV cache', memory.kvBytes, `  ${model.contextLength} tokens`),
    line('activations', memory.activationBytes, `  ${model.batch} tokens at once`),
    line('expert slots', memory.slotBytes, `  ${memory.slots} of ${memory.experts || total} experts`),
    `Least ${formatBytes(smallestBytes)}; no gain above ${formatBytes(largestBytes)}.`,
    ...(fits
      ? [
          `About ${speed(tokensPerSecond)} tokens/s, limited by ${limit === 'flash' ? 'reading experts from flash' : 'computing'}; ${formatBytes(bytesPerToken)} read per token.`,
        ]
      : []),
  ];
}

const speed = ([low, high]: readonly [number, number]): string =>
  low === high ? `${low}` : `${low} to ${high}`;
