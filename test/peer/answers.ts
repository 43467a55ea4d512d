import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LlamaPeer } from './llama.js';

export type EvaluationSet = 'commands' | 'diagnostics';

export interface PeerAnswer {
  request: string;
  /** The answer that the evaluation set wants. */
  expected: string;
  prompt: number[];
  /** llama.cpp's greedy answer, without the stop id; one token evaluated at a time. */
  tokens: number[];
  text: string;
  /** Best logit minus second best for each choice, the stop included. */
  margins: number[];
}

export interface PeerAnswers {
  /** SHA-256 of the model file. */
  model: string;
  /** Seconds it took to compute. */
  seconds: number;
  threads: number;
  commands: PeerAnswer[];
  diagnostics: PeerAnswer[];
}

/** Changes whenever what is stored, or how it is computed, changes. */
const FORMAT = 1;
const SETS: readonly EvaluationSet[] = ['commands', 'diagnostics'];
const LONGEST_ANSWER = 128;

export const DEMO_MODEL = pathOf('models/home-assistant-q4.gguf');

/** The lines of an evaluation set. */
export function evaluationSet(set: EvaluationSet): { request: string; answer: string }[] {
  const lines = readFileSync(pathOf(`models/evaluation/eval-${set}.jsonl`), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => JSON.parse(line) as { request: string; answer: string });
}

/** A request in the demo model's ChatML template, the assistant's turn open. */
export function demoPrompt(request: string): string {
  return `<|im_start|>user\n${request}<|im_end|>\n<|im_start|>assistant\n`;
}

/**
 * llama.cpp's greedy answers to both evaluation sets, from build/peer/ or computed and stored there. Synchronous.
 * The file's name holds the digests of the model and the sets, so a changed input is computed anew.
 */
export function peerAnswers(options: { threads?: number; recompute?: boolean } = {}): PeerAnswers {
  const model = createHash('sha256').update(readFileSync(DEMO_MODEL)).digest('hex');
  const sets = createHash('sha256')
    .update(JSON.stringify(SETS.map(evaluationSet)))
    .digest('hex');
  const folder = pathOf('build/peer');
  const path = `${folder}/answers-${FORMAT}-${model.slice(0, 16)}-${sets.slice(0, 8)}.json`;
  if (!options.recompute) {
    try {
      return JSON.parse(readFileSync(path, 'utf8')) as PeerAnswers;
    } catch {
      // Missing, or cut off by a full disk: computed below.
    }
  }
  const answers = compute(model, options.threads ?? 1);
  mkdirSync(folder, { recursive: true });
  // Another test may look for the file at the same time: it sees all of it or nothing.
  const partial = `${path}.${process.pid}.partial`;
  writeFileSync(partial, JSON.stringify(answers));
  renameSync(partial, path);
  return answers;
}

function compute(model: string, threads: number): PeerAnswers {
  const start = performance.now();
  const peer = LlamaPeer.open(DEMO_MODEL, { threads, contextLength: 256 });
  const answer = (line: { request: string; answer: string }): PeerAnswer => {
    const prompt = peer.tokenize(demoPrompt(line.request));
    const { tokens, margins } = peer.greedy(prompt, LONGEST_ANSWER, peer.endIds, { sequential: true });
    const text = peer.detokenize(tokens);
    return { request: line.request, expected: line.answer, prompt, tokens, text, margins };
  };
  try {
    const [commands, diagnostics] = SETS.map((set) => evaluationSet(set).map(answer)) as [
      PeerAnswer[],
      PeerAnswer[],
    ];
    return { model, seconds: (performance.now() - start) / 1000, threads, commands, diagnostics };
  } finally {
    peer.close();
  }
}

function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}
