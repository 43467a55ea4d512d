import type { ErrorReport } from '../error.js';
import type { ChatMessage } from '../tokenizer/chat-template.js';
import type { EngineLimits, EngineStatistics, FlashSetting } from './engine.js';
import type { EngineOptions } from './engine-options.js';
import type { GenerationSummary, Piece } from './generation.js';

/** What the engine worker starts with. */
export interface WorkerData {
  readonly path: string;
  readonly options: EngineOptions;
}

/** A prompt as an app gives it. */
export type Prompt =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] }
  | { readonly kind: 'chat'; readonly messages: readonly ChatMessage[] };

/** App thread → engine worker. `id` names the request in the answers. */
export type Request =
  | { readonly type: 'createSession'; readonly id: number; readonly contextLength: number | undefined }
  | { readonly type: 'closeSession'; readonly id: number; readonly session: number }
  | {
      readonly type: 'generate';
      readonly id: number;
      readonly session: number;
      readonly prompt: Prompt;
      readonly maxTokens: number;
      readonly temperature: number;
      readonly seed: number;
      /** int32[1] on shared memory; not 0: stop now. */
      readonly interrupt: Int32Array;
    }
  | {
      readonly type: 'logits';
      readonly id: number;
      readonly prompt: Prompt;
      /** Keep every row, or only the sum of -log p of each next token. */
      readonly output: 'rows' | 'score';
      readonly interrupt: Int32Array;
    }
  | { readonly type: 'tokenize'; readonly id: number; readonly prompt: Prompt }
  | { readonly type: 'setMemory'; readonly id: number; readonly bytes: number | null }
  | {
      readonly type: 'setLimits';
      readonly id: number;
      readonly threads: number | undefined;
      readonly lanes: number | undefined;
    }
  | { readonly type: 'statistics'; readonly id: number }
  | { readonly type: 'trace'; readonly id: number; readonly enabled: boolean }
  | { readonly type: 'close'; readonly id: number };

/** What is known of a model once it is open. */
export interface ModelDescription {
  readonly path: string;
  readonly digest: string;
  readonly architecture: string;
  readonly name: string;
  readonly vocabulary: number;
  readonly layers: number;
  readonly experts: number;
  readonly usedExperts: number;
  readonly contextLength: number;
  readonly isa: string;
  /** As opened; {@link EngineStatistics.limits} tells those in force. */
  readonly threads: number;
  readonly policy: string;
  readonly flash: FlashSetting;
  readonly slots: number;
  readonly warnings: readonly string[];
}

/** Engine worker → app thread. */
export type Answer =
  | { readonly type: 'open'; readonly model: ModelDescription }
  | { readonly type: 'failed'; readonly error: ErrorReport & { smallestBytes?: number } }
  | { readonly type: 'done'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: ErrorReport & { smallestBytes?: number } }
  | { readonly type: 'piece'; readonly id: number; readonly piece: Piece }
  | { readonly type: 'row'; readonly id: number; readonly logits: Float32Array }
  | { readonly type: 'end'; readonly id: number; readonly summary: GenerationSummary };

export type { EngineLimits, EngineStatistics };
