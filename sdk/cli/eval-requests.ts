import { OptionError, type Model } from '../index.js';
import { readInput } from './input-file.js';
import type { Terminal } from './terminal.js';

/** A request and the only answer that counts as right. */
export interface ExpectedAnswer {
  /** Line number in its file, from 1. */
  readonly line: number;
  readonly request: string;
  readonly answer: string;
}

export interface Difference {
  readonly line: number;
  readonly request: string;
  readonly expected: string;
  readonly answer: string;
}

/** Reads lines of {"request", "answer"}; empty lines are skipped. Throws OptionError naming file and line. */
export async function readRequests(path: string): Promise<ExpectedAnswer[]> {
  const found: ExpectedAnswer[] = [];
  for (const [i, line] of (await readInput(path)).split('\n').entries()) {
    if (line.trim() === '') continue;
    let entry: unknown = null;
    try {
      entry = JSON.parse(line);
    } catch {
      // told below
    }
    const { request, answer } = (entry ?? {}) as Record<string, unknown>;
    if (typeof request !== 'string' || typeof answer !== 'string')
      throw new OptionError(
        'option/requests',
        `${path}, line ${i + 1} is not a request with its answer`,
        'Write one JSON object per line: {"request": "…", "answer": "…"}.',
      );
    found.push({ line: i + 1, request, answer });
  }
  if (found.length === 0)
    throw new OptionError('option/requests', `${path} holds no requests`, 'Write one JSON object per line.');
  return found;
}

/** Answers every request greedily through the chat template, in a session of its own. */
export async function measureExactness(
  terminal: Terminal,
  model: Model,
  requests: readonly ExpectedAnswer[],
  maxTokens: number,
): Promise<{ exact: number; differing: Difference[] }> {
  const differing: Difference[] = [];
  for (const [i, { line, request, answer: expected }] of requests.entries()) {
    terminal.bar(i, requests.length, `${i - differing.length} of ${i} exact`);
    const session = model.createSession();
    const answer = await session
      .chat([{ role: 'user', content: request }], { maxTokens, signal: terminal.signal })
      .text();
    await session.close();
    if (answer !== expected) differing.push({ line, request, expected, answer });
  }
  return { exact: requests.length - differing.length, differing };
}
