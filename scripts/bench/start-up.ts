import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Bench } from './bench.js';
import { DEMO } from './models.js';

const PROMPT = '<|im_start|>user\ndim the kitchen lights to 40<|im_end|>\n<|im_start|>assistant\n';
const GOAL = 0.5;

/** Fresh processes, files in the page cache: from the start to the first token on stdout. */
export async function startUp(bench: Bench): Promise<void> {
  const figure = 'process start to first token, demo model';
  if (!bench.wants(figure)) return;
  const threads = String(Math.max(...bench.options.threads));
  const script = (name: string) => new URL(name, import.meta.url).pathname;
  const gguf = bench.models.gguf(DEMO);
  const commands = {
    ours: [
      script('bench-start-engine.mjs'),
      bench.options.root,
      await bench.ours(bench.models, DEMO),
      PROMPT,
      threads,
    ],
    peer: [script('bench-start-peer.mjs'), gguf, PROMPT, threads],
  };
  const samples: Record<'ours' | 'peer', number[]> = { ours: [], peer: [] };
  const answers = new Set<string>();
  // the first round fills the page cache
  for (let round = -1; round < 2 * bench.options.rounds; round++)
    for (const who of round % 2 === 0 ? (['ours', 'peer'] as const) : (['peer', 'ours'] as const)) {
      await bench.quiet();
      const { ms, token } = await untilFirstLine(commands[who]);
      answers.add(token);
      if (round >= 0) samples[who].push(ms);
    }
  if (answers.size !== 1) throw new Error(`the first tokens differ: ${[...answers].join(', ')}`);
  bench.add({
    figure,
    unit: 'ms',
    ...samples,
    goal: GOAL,
    better: 'lower',
    note: 'both in Node; the peer without node-llama-cpp’s own JavaScript',
  });
}

async function untilFirstLine(args: readonly string[]): Promise<{ ms: number; token: string }> {
  const begun = performance.now();
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 2] });
  const ended = once(child, 'exit');
  let ms = 0;
  let text = '';
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    if (ms === 0) ms = performance.now() - begun;
    text += chunk.toString();
  }
  const [code] = (await ended) as [number | null];
  if (code !== 0 || ms === 0) throw new Error(`${args[0]} ended with ${code} and printed no token`);
  return { ms, token: text.trim() };
}
