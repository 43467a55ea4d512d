import { ModelFormatError } from '../error.js';
import type { ByteSource } from './byte-source.js';

/**
 * No header is longer than this. The largest published vocabularies (262,144 tokens with merges) take about 20 MB;
 * without a limit a hostile length would make us hold a whole file in memory.
 */
export const HEADER_LIMIT = 256 * 2 ** 20;

const FIRST_READ = 2 ** 20;

/** Walks forward through a GGUF header, reading the file in growing steps and keeping what was read. */
export class GgufCursor {
  /** Byte offset in the file. */
  position = 0;
  private bytes: Buffer = Buffer.alloc(0);
  /** Bytes of the file that are in `bytes`. */
  private loaded = 0;

  constructor(private readonly source: ByteSource) {}

  get name(): string {
    return this.source.name;
  }

  /** Bytes from the position to the end of the file. */
  get remaining(): number {
    return this.source.size - this.position;
  }

  /** Everything from the start of the file to the position, without the spare bytes read beyond it. */
  header(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.position));
  }

  u8(what: string): number {
    const at = this.take(1, what); // first: it may replace the buffer
    return this.bytes.readUInt8(at);
  }

  u32(what: string): number {
    const at = this.take(4, what);
    return this.bytes.readUInt32LE(at);
  }

  /** A 64-bit count, length or offset; more than 2^53 - 1 cannot be true of any file. */
  u64(what: string): number {
    const at = this.take(8, what);
    const high = this.bytes.readUInt32LE(at + 4);
    if (high >= 2 ** 21)
      throw new ModelFormatError(
        'model/header',
        `${this.name}: ${what} is 2^53 or more`,
        'The file is damaged; copy or download it again.',
      );
    return high * 2 ** 32 + this.bytes.readUInt32LE(at);
  }

  /** A length-prefixed string. */
  string(what: string): string {
    const { start, end } = this.stringRange(what);
    return this.bytes.toString('utf8', start, end);
  }

  /** Steps over a length-prefixed string. */
  skipString(what: string): void {
    this.stringRange(what);
  }

  /** Steps over `count` bytes. */
  skip(count: number, what: string): void {
    this.take(count, what);
  }

  /** Refuses a count of things of at least `least` bytes each that the rest of the file cannot hold. */
  checkCount(count: number, least: number, what: string): void {
    if (count > this.remaining / least)
      throw new ModelFormatError(
        'model/truncated',
        `${this.name}: ${what} is ${count}, more than the remaining ${this.remaining} bytes can hold`,
        'The file is cut off or damaged; copy or download it again.',
      );
  }

  private stringRange(what: string): { start: number; end: number } {
    const length = this.u64(what);
    const start = this.take(length, what);
    return { start, end: start + length };
  }

  /** Makes `count` bytes available, moves past them and returns where they begin. */
  private take(count: number, what: string): number {
    const start = this.position;
    const end = start + count;
    if (end > this.loaded) this.load(end, what);
    this.position = end;
    return start;
  }

  private load(end: number, what: string): void {
    if (end > this.source.size)
      throw new ModelFormatError(
        'model/truncated',
        `${this.name} ends at byte ${this.source.size}, inside ${what}, which reaches to byte ${end}`,
        'The file is cut off or damaged; copy or download it again.',
      );
    if (end > HEADER_LIMIT)
      throw new ModelFormatError(
        'model/header',
        `${this.name}: the header reaches beyond ${HEADER_LIMIT / 2 ** 20} MiB (${what})`,
        'The file is damaged; copy or download it again.',
      );
    const size = Math.min(this.source.size, HEADER_LIMIT, Math.max(end, 2 * this.loaded, FIRST_READ));
    const bytes = Buffer.allocUnsafe(size);
    this.bytes.copy(bytes, 0, 0, this.loaded);
    this.source.read(this.loaded, bytes.subarray(this.loaded));
    this.bytes = bytes;
    this.loaded = size;
  }
}
