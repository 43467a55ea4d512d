import { readFileSync } from 'node:fs';

/** How a contestant opens a model. */
export interface OpenJob {
  readonly model: string;
  readonly threads: number;
  readonly contextLength: number;
  /** Most tokens evaluated at once. */
  readonly batch: number | null;
  /** Ours: bytes for the process. The peer has no such thing; its cgroup bounds it. */
  readonly memory?: number;
  /** Ours: most expert slots. */
  readonly expertSlots?: number;
  /** Ours: record which experts every token asks for. */
  readonly trace?: boolean;
  /** The peer: weights rearranged for the processor, in anonymous memory. */
  readonly repack?: boolean;
}

/** Tokens to evaluate: `step` at a time, behind those already evaluated or from an empty context. */
export interface RunJob {
  readonly tokens: readonly number[];
  /** 1: decode; null: as many at a time as the contestant takes. */
  readonly step: number | null;
  readonly restart: boolean;
}

export interface RunReport {
  readonly ms: number;
  /** Bytes that the process fetched from storage, faults of mapped pages included (proc(5)); null where not counted. */
  readonly readBytes: number | null;
  /** Ours: what the engine counted. */
  readonly experts: {
    readonly bytes: number;
    readonly requests: number;
    readonly hits: number;
    readonly stallMs: number;
    readonly rowsTotal: number;
    readonly rowsActive: number;
  } | null;
}

/** What a contestant says of the model once it is open. */
export interface Opened {
  readonly ms: number;
  readonly vocabulary: number;
  /** Ours. */
  readonly engine: {
    readonly isa: string;
    readonly flash: string;
    readonly layers: number;
    readonly slots: number;
    readonly experts: number;
    readonly expertBytes: number;
    /** Weight bytes of one token but for experts; the embedding counts one row. */
    readonly denseBytesPerToken: number;
    readonly usedExpertBytesPerToken: number;
    readonly batch: number;
  } | null;
}

/** An engine under measurement, in a process of its own. */
export interface Contestant {
  open(job: OpenJob): Promise<Opened>;
  run(job: RunJob): RunReport;
  /** The encoded trace so far; null when none was recorded. */
  trace(): Uint8Array | null;
  tokenize(text: string): readonly number[];
}

export type Call =
  | { readonly type: 'open'; readonly job: OpenJob }
  | { readonly type: 'run'; readonly job: RunJob }
  | { readonly type: 'trace' }
  | { readonly type: 'tokenize'; readonly text: string };

export type Reply = { readonly value: unknown } | { readonly error: string };

/** Answers the parent's calls, one after the other, until it disconnects. */
export function serve(contestant: Contestant): void {
  const answer = async (call: Call): Promise<unknown> => {
    switch (call.type) {
      case 'open':
        return contestant.open(call.job);
      case 'run':
        return contestant.run(call.job);
      case 'trace':
        return contestant.trace();
      case 'tokenize':
        return contestant.tokenize(call.text);
    }
  };
  process.on('message', (call: Call) => {
    answer(call).then(
      (value) => process.send!({ value } satisfies Reply),
      (error: unknown) =>
        process.send!({ error: error instanceof Error ? error.message : String(error) } satisfies Reply),
    );
  });
  process.on('disconnect', () => process.exit(0));
}

/** Bytes this process has fetched from storage so far, or null where the system does not count them. */
export function storageBytes(): number | null {
  try {
    const found = /^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'));
    return found ? Number(found[1]) : null;
  } catch {
    return null;
  }
}

/** Runs `evaluate` on the job's tokens, `step` at a time, and says how long it took and what was read. */
export function timed(
  job: RunJob,
  most: number,
  evaluate: (tokens: readonly number[], last: boolean) => void,
): { ms: number; readBytes: number | null } {
  const step = Math.min(job.step ?? most, most);
  const parts: (readonly number[])[] = [];
  for (let at = 0; at < job.tokens.length; at += step) parts.push(job.tokens.slice(at, at + step));
  const before = storageBytes();
  const begun = performance.now();
  parts.forEach((part, i) => evaluate(part, i === parts.length - 1));
  const ms = performance.now() - begun;
  const after = storageBytes();
  return { ms, readBytes: before === null || after === null ? null : after - before };
}
