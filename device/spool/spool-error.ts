/**
 * The spool cannot do what was asked. `code` is stable: spool/payload-too-large, spool/option, spool/no-sqlite (the
 * optional package is not installed), spool/in-use (another process has it open), spool/dropped (memory was full and the
 * disk took nothing; the record is counted), spool/closed.
 */
export class SpoolError extends Error {
  override readonly name = 'SpoolError';
  constructor(
    readonly code: string,
    message: string,
    /** What would work; one sentence. */
    readonly hint: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
