/** Process start to first token, llama.cpp: `node bench-start-peer.mjs MODEL PROMPT THREADS`. */
import { LlamaPeer } from '../../test/peer/llama.js';

const [path, prompt, threads] = process.argv.slice(2) as [string, string, string];
// plain weights: for one token, rearranging them costs more than it gives
const peer = LlamaPeer.open(path, {
  threads: Number(threads),
  contextLength: 256,
  kvType: 'f16',
  repack: false,
});
const { tokens, stopId } = peer.greedy(peer.tokenize(prompt), 1);
process.stdout.write(`${tokens[0] ?? stopId}\n`);
peer.close();
