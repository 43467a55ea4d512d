/** PocketMoE: mixture-of-experts language models bigger than a device's memory. This is what an app imports. */
export { openModel, type Model, type OpenOptions } from './runtime/model.js';
export type { Session, Generation } from './runtime/session.js';
export type { GenerateOptions, GenerationSummary, Piece, FinishReason } from './runtime/generation.js';
export type { EngineOptions } from './runtime/engine-options.js';
export type { EngineLimits, EngineStatistics, ModelDescription } from './runtime/protocol.js';
export type { ExpertStatistics } from './experts/expert-statistics.js';
export type { ChatMessage } from './tokenizer/chat-template.js';
export { plan, type Plan } from './runtime/plan.js';
export { formatBytes, parseMemorySize } from './runtime/memory-size.js';
export { pack, type PackOptions, type PackReport } from './pack/pack.js';
export { inspectModel } from './pack/inspect.js';
export { verifyModel } from './pack/verify.js';
export { CACHE_POLICIES } from './experts/policies.js';
export { RoutingTrace } from './experts/trace.js';
export { decodeTrace, encodeTrace } from './experts/trace-file.js';
export { replay } from './experts/replay.js';
export { belady } from './experts/belady.js';
export {
  ContextFullError,
  MemoryBudgetError,
  ModelFormatError,
  OptionError,
  PocketMoeError,
  reportError,
  UnsupportedError,
  type ErrorReport,
} from './error.js';
export { FlashError } from '../firmware-bridge/flash/flash-error.js';
