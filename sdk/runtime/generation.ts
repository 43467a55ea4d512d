/** How a generation ended. */
export type FinishReason = 'end' | 'length' | 'context';

/** What to generate. */
export interface GenerateOptions {
  /** Most tokens to generate. Default 256. */
  maxTokens?: number;
  /** 0: always the most likely token. Default 0. */
  temperature?: number;
  /** Same seed, same text. Default 0. */
  seed?: number;
  /** Ends the generation within one layer's time. */
  signal?: AbortSignal;
}

/** A piece of the answer: one token, and the text that became complete with it. */
export interface Piece {
  readonly text: string;
  readonly token: number;
}

/** What happened during one generation. Field names are stable: `pocketmoe run --json` prints them. */
export interface GenerationSummary {
  readonly text: string;
  readonly finish: FinishReason;
  /** Tokens generated; the end token counts. */
  readonly tokens: number;
  readonly promptTokens: number;
  /** Prompt tokens that the session already held. */
  readonly reusedTokens: number;
  /** Decode speed: tokens after the first, over the time from the first to the last. */
  readonly tokensPerSecond: number;
  /** From the call to the first token, prompt included. */
  readonly firstTokenMs: number;
  readonly flash: {
    /** Bytes of experts read. */
    readonly bytes: number;
    /** … during decode, per token. */
    readonly bytesPerToken: number;
    /** Time in which nothing could be computed for lack of data. */
    readonly stallMs: number;
  };
  readonly experts: {
    readonly requests: number;
    readonly hits: number;
    readonly late: number;
    readonly misses: number;
    readonly evictions: number;
  };
  readonly memory: {
    readonly budgetBytes: number;
    /** Most memory the process ever had resident. */
    readonly peakBytes: number;
  };
}
