import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = `${root}dist/cli.js`;

/** The demo model and its evaluation sets. */
export const MODEL = `${root}models/home-assistant-q4.gguf`;
export const TEXT = `${root}models/evaluation/eval-text.txt`;
export const COMMANDS = `${root}models/evaluation/eval-commands.jsonl`;
/** Enough for every expert of the demo model. */
export const PLENTY = '400MiB';

export interface Finished {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the bundled command as a person would; `stdin` is its whole input, or stays open. */
export function start(args: readonly string[], stdin: string | 'open' | null = null): ChildProcess {
  if (!existsSync(cli)) throw new Error(`${cli} is missing: run npm run build`);
  const child = spawn(process.execPath, [cli, ...args], {
    stdio: [stdin === null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  if (stdin !== 'open') child.stdin?.end(stdin);
  return child;
}

/** Waits for the end and collects what was printed. */
export function finish(child: ChildProcess): Promise<Finished> {
  let stdout = '';
  let stderr = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
}

export const pocketmoe = (...args: string[]): Promise<Finished> => finish(start(args));

/** Runs with --json: exactly one object on one line of stdout, and nothing on stderr. */
export async function json(
  ...args: string[]
): Promise<{ status: number | null; value: Record<string, unknown> }> {
  const { status, stdout, stderr } = await pocketmoe(...args, '--json');
  if (stderr !== '') throw new Error(`stderr is not empty: ${stderr}`);
  if (!/^\{.*\}\n$/.test(stdout)) throw new Error(`stdout is not one JSON object on a line: ${stdout}`);
  return { status, value: JSON.parse(stdout) as Record<string, unknown> };
}

/** The error object of a command that must fail. */
export async function failure(...args: string[]) {
  const { status, value } = await json(...args);
  if (status === 0 || Object.keys(value).join() !== 'error')
    throw new Error(`no error but ${JSON.stringify(value)}`);
  return {
    status,
    ...(value['error'] as { code: string; message: string; hint: string; smallestBytes?: number }),
  };
}
