/**
 * Base of every error that PocketMoE throws on purpose: a stable code, what is wrong and where, and what would work.
 */
export class PocketMoeError extends Error {
  override readonly name: string = 'PocketMoeError';
  constructor(
    /** Stable, for programs: "model/format", "memory/too-small" … */
    readonly code: string,
    message: string,
    /** What would work; one sentence. */
    readonly hint: string,
  ) {
    super(message);
  }
}

/** A model file or package that cannot be read: truncated, malformed, inconsistent. Codes model/*. */
export class ModelFormatError extends PocketMoeError {
  override readonly name = 'ModelFormatError';
}

/** A well-formed model that this version does not run: family, weight type, tokenizer. Codes unsupported/*. */
export class UnsupportedError extends PocketMoeError {
  override readonly name = 'UnsupportedError';
}

/** The memory budget cannot hold what was asked. Code memory/too-small. */
export class MemoryBudgetError extends PocketMoeError {
  override readonly name = 'MemoryBudgetError';
  constructor(
    message: string,
    hint: string,
    /** The smallest budget that works, in bytes. */
    readonly smallestBytes: number,
  ) {
    super('memory/too-small', message, hint);
  }
}

/** An option or argument with a value that cannot be used. Codes option/*. */
export class OptionError extends PocketMoeError {
  override readonly name = 'OptionError';
}

/** A conversation longer than its context. Code session/context-full. */
export class ContextFullError extends PocketMoeError {
  override readonly name = 'ContextFullError';
}

/** An error as it crosses threads and as commands print it. */
export interface ErrorReport {
  code: string;
  message: string;
  hint: string;
}

/** Flattens any error; unknown ones get code "internal". */
export function reportError(error: unknown): ErrorReport {
  if (error instanceof DOMException && error.name === 'AbortError')
    return {
      code: 'aborted',
      message: error.message,
      hint: 'The operation was cancelled by its AbortSignal.',
    };
  if (error instanceof Error) {
    const e = error as Error & Partial<ErrorReport>;
    return {
      code: typeof e.code === 'string' ? e.code : 'internal',
      message: e.message,
      hint: typeof e.hint === 'string' ? e.hint : 'This looks like a defect of PocketMoE; please report it.',
    };
  }
  return {
    code: 'internal',
    message: String(error),
    hint: 'This looks like a defect of PocketMoE; please report it.',
  };
}
