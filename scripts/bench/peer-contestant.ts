/** llama.cpp in a process of its own, started by the benchmark; see contestant.ts. */
import { LlamaPeer } from '../../test/peer/llama.js';
import {
  type Contestant,
  type OpenJob,
  type Opened,
  type RunJob,
  type RunReport,
  serve,
  timed,
} from './contestant.js';

class PeerContestant implements Contestant {
  #peer!: LlamaPeer;
  #batch = 512;

  async open(job: OpenJob): Promise<Opened> {
    const begun = performance.now();
    this.#batch = job.batch ?? 512;
    this.#peer = LlamaPeer.open(job.model, {
      threads: job.threads,
      contextLength: job.contextLength,
      batch: this.#batch,
      kvType: 'f16',
      flashAttention: true,
      repack: job.repack ?? false,
    });
    return { ms: performance.now() - begun, vocabulary: this.#peer.vocabularySize, engine: null };
  }

  run(job: RunJob): RunReport {
    if (job.restart) this.#peer.clear();
    const time = timed(job, this.#batch, (tokens) => this.#peer.append(tokens));
    return { ...time, experts: null };
  }

  trace(): null {
    return null;
  }

  tokenize(text: string): readonly number[] {
    return this.#peer.tokenize(text);
  }
}

serve(new PeerContestant());
