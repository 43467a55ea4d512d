import type { Command } from 'commander';
import { formatBytes, inspectModel, verifyModel } from '../index.js';
import type { Terminal } from './terminal.js';

export function describe(command: Command): void {
  command
    .argument('<model>', 'GGUF file or package')
    .option('--verify', 'read every byte and compare it with its checksums')
    .addHelpText('after', '\nExample:\n  pocketmoe inspect model.pocketmoe --verify\n');
}

/** With --verify, damage is reported and makes the status 1. */
export async function run(
  terminal: Terminal,
  args: string[],
  flags: Record<string, unknown>,
): Promise<number> {
  const [path] = args as [string];
  if (flags['verify'] === true) return verify(terminal, path);
  const model = await inspectModel(path);
  terminal.result(model, describeModel(model));
  return 0;
}

async function verify(terminal: Terminal, path: string): Promise<number> {
  const report = await verifyModel(path, {
    signal: terminal.signal,
    onProgress: ({ doneBytes, totalBytes, what }) => terminal.bar(doneBytes, totalBytes, what),
  });
  terminal.result(report, [
    ...report.damaged.map(
      ({ what, file, offset, length, problem }) =>
        `${what}: ${problem} (${file}, byte ${offset}, ${length} bytes)`,
    ),
    report.ok
      ? `Whole: ${report.extents} extents checked.`
      : `Damaged: ${report.damaged.length} of ${report.extents} extents.`,
  ]);
  return report.ok ? 0 : 1;
}

function describeModel(model: Awaited<ReturnType<typeof inspectModel>>): string[] {
  const size = (bytes: number) => formatBytes(bytes).padStart(10);
  const lines = [
    `${model.name ?? 'A model without a name'}: ${model.architecture}, ${model.kind === 'package' ? 'package' : 'GGUF'}`,
    `digest ${model.digest}`,
  ];
  const first = model.experts[0];
  if (first)
    lines.push(
      `${model.experts.length} layers of ${first.count} experts, ${formatBytes(first.bytesEach)} each, ${first.pieces === 1 ? '1 read' : `${first.pieces} reads`} per expert`,
    );
  lines.push(`dense${size(model.denseBytes)}, experts${size(model.expertBytes)}`, 'weights:');
  for (const { type, tensors, denseBytes, expertBytes } of model.weights)
    lines.push(`  ${type.padEnd(8)}${size(denseBytes + expertBytes)} in ${tensors} tensors`);
  lines.push('files:');
  for (const { path, bytes } of model.files)
    lines.push(`  ${path} ${bytes === null ? 'missing' : formatBytes(bytes)}`);
  if (model.package)
    lines.push(
      `package format ${model.package.formatVersion}, layout ${model.package.layoutVersion}, by ${model.package.createdBy} from ${model.package.source}`,
    );
  lines.push('metadata:');
  for (const [key, value] of Object.entries(model.metadata))
    lines.push(`  ${key} = ${shorten(String(value))}`);
  for (const [key, { type, count }] of Object.entries(model.arrays))
    lines.push(`  ${key} = ${count} × ${type}`);
  return lines;
}

const shorten = (text: string): string => {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 100 ? `${line.slice(0, 99)}…` : line;
};
