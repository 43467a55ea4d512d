import type { ErrorReport } from '../index.js';

/** Answers of a command: text for people, or with --json exactly one JSON object on stdout. Notes go to stderr. */
export class Terminal {
  #barShown = false;
  /** Text of an answer was written, and its last line has no end yet. */
  #lineOpen = false;

  constructor(
    readonly json: boolean,
    /** Aborted by Ctrl-C, or when nobody reads stdout any more. */
    readonly signal: AbortSignal,
  ) {}

  /** The command's result: `text` on a terminal, `value` with --json. */
  result(value: unknown, text: readonly string[]): void {
    this.clearBar();
    if (this.json) process.stdout.write(`${toJson(value)}\n`);
    else for (const line of text) process.stdout.write(`${printable(line, process.stdout)}\n`);
  }

  /** A piece of an answer as it is made. Silent with --json. */
  stream(text: string): void {
    if (this.json || text === '') return;
    process.stdout.write(printable(text, process.stdout));
    this.#lineOpen = !text.endsWith('\n');
  }

  /** Ends the line that {@link stream} left open. */
  endStream(): void {
    if (this.#lineOpen) process.stdout.write('\n');
    this.#lineOpen = false;
  }

  /** A line beside the result. Silent with --json. */
  note(line: string): void {
    if (this.json) return;
    this.clearBar();
    process.stderr.write(`${printable(line, process.stderr)}\n`);
  }

  /** What went wrong and what would work. */
  error({ code, message, hint }: ErrorReport, extra: Record<string, unknown> = {}): void {
    this.clearBar();
    if (this.json) process.stdout.write(`${toJson({ error: { code, message, hint, ...extra } })}\n`);
    else {
      this.endStream();
      for (const line of [message, hint])
        process.stderr.write(`${printable(oneLine(line), process.stderr)}\n`);
    }
  }

  /** Says that the command was stopped from outside. */
  stopped(): void {
    if (this.json) this.error({ code: 'aborted', message: 'stopped', hint: 'Run the command again.' });
    else {
      this.endStream();
      this.note('Stopped.');
    }
  }

  /** `work`, or the signal's reason as soon as it is aborted; the work is then left behind. */
  async untilAborted<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    signal.throwIfAborted();
    let stop = () => {};
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason as Error);
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** A progress bar on stderr, when that is a terminal. */
  bar(done: number, total: number, what: string): void {
    if (this.json || !process.stderr.isTTY) return;
    const width = process.stderr.columns || 80;
    const share = total > 0 ? Math.min(1, done / total) : 1;
    const filled = Math.round(share * 24);
    const line = `[${'#'.repeat(filled)}${'.'.repeat(24 - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %  ${what}`;
    process.stderr.write(`\r\x1b[K${printable(line, process.stderr).slice(0, width - 1)}`);
    this.#barShown = true;
  }

  clearBar(): void {
    if (this.#barShown) process.stderr.write('\r\x1b[K');
    this.#barShown = false;
  }
}

/** A model file is foreign text: on a terminal its control characters must not move the cursor or change titles. */
function printable(text: string, stream: NodeJS.WriteStream): string {
  // eslint-disable-next-line no-control-regex
  return stream.isTTY ? text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd') : text;
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ');

/** One line. Integers beyond 2^53 become strings, typed arrays lists. */
function toJson(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry === 'bigint') return entry.toString();
    return ArrayBuffer.isView(entry) ? Array.from(entry as unknown as Iterable<unknown>) : entry;
  });
}
