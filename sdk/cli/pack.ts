import type { Command } from 'commander';
import { formatBytes, pack } from '../index.js';
import type { Terminal } from './terminal.js';

export function describe(command: Command): void {
  command
    .argument('<in>', 'GGUF file (any part of a split set)')
    .argument('<out>', 'folder of the package')
    .option('--overwrite', 'replace a package that is there')
    .option('--quiet', 'print nothing but errors')
    .addHelpText(
      'after',
      '\nPacking that was interrupted goes on where it stopped.\n\nExample:\n  pocketmoe pack model.gguf model.pocketmoe\n',
    );
}

export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [input, output] = args as [string, string];
  const quiet = flags['quiet'] === true;
  const report = await pack(input, output, {
    signal: terminal.signal,
    overwrite: flags['overwrite'] === true,
    ...(!quiet && {
      onProgress: ({ doneBytes, totalBytes, what }) => terminal.bar(doneBytes, totalBytes, what),
    }),
  });
  const text = [`Packed ${report.path}: ${formatBytes(report.bytes)}, ${report.extents} extents.`];
  if (report.resumedBytes > 0)
    text.push(`${formatBytes(report.resumedBytes)} were there from an interrupted packing.`);
  for (const { name, from, to, largestError } of report.converted)
    text.push(`Converted ${name} from ${from} to ${to}; largest error ${largestError.toPrecision(2)}.`);
  terminal.result(report, quiet ? [] : [...text, ...report.notices]);
  return 0;
}
