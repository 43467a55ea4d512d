import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { ModelFormatError } from '../error.js';
import { openError } from '../model/byte-source.js';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { EXTENT_ALIGNMENT } from '../model/package-manifest.js';
import type { WrittenExtent } from './pack-journal.js';
import type { Copy, PlannedExtent } from './package-plan.js';

/** Two of these are all the memory that copying takes: one is filled and hashed while the other is written. */
const CHUNK = 4 * 2 ** 20;

/** Copies extents from the source files to a segment, hashing on the way. */
export class ExtentWriter {
  private readonly buffers = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)] as const;
  private turn = 0;
  /** The write of each buffer; resolves to its error. */
  private readonly writes: [Promise<unknown>, Promise<unknown>] = [Promise.resolve(), Promise.resolve()];

  private constructor(
    private readonly sources: readonly FileHandle[],
    private readonly paths: readonly string[],
    private readonly made: Buffer,
  ) {}

  /** `made`: the bytes that come from no file. */
  static async open(paths: readonly string[], made: Buffer): Promise<ExtentWriter> {
    const sources: FileHandle[] = [];
    try {
      for (const path of paths)
        sources.push(
          await open(path, 'r').catch((error: unknown) => {
            throw openError(path, error);
          }),
        );
    } catch (error) {
      for (const source of sources) await source.close();
      throw error;
    }
    return new ExtentWriter(sources, paths, made);
  }

  /**
   * Writes an extent and the zeros up to the next 4 KiB. The last bytes may still be on their way to the kernel when
   * this returns: see {@link drain}. `onBytes` gets the bytes of each chunk.
   */
  async write(
    extent: PlannedExtent,
    target: FileHandle,
    signal: AbortSignal | undefined,
    onBytes: (bytes: number) => void,
  ): Promise<WrittenExtent> {
    const sha256 = createHash('sha256');
    const crcs = extent.pieces.map(() => 0);
    const padded = Math.ceil(extent.length / EXTENT_ALIGNMENT) * EXTENT_ALIGNMENT;
    for (let start = 0; start < padded; start += CHUNK) {
      signal?.throwIfAborted();
      const turn = (this.turn ^= 1) as 0 | 1;
      await this.settle(turn);
      const chunk = this.buffers[turn].subarray(0, Math.min(CHUNK, padded - start)).fill(0);
      for (const copy of extent.copies) await this.fill(chunk, start, copy);
      sha256.update(chunk.subarray(0, extent.length - start));
      for (const [i, [offset, length]] of extent.pieces.entries())
        crcs[i] = crc32c(overlap(chunk, start, offset, length), crcs[i]);
      this.writes[turn] = writeAll(target, chunk, extent.offset + start).catch((error: unknown) => error);
      onBytes(chunk.length);
    }
    return { sha256: sha256.digest('hex'), crc32c: crcs };
  }

  /** Waits until all that was written is with the kernel. Throws the error of a failed write. */
  async drain(): Promise<void> {
    await this.settle(0);
    await this.settle(1);
  }

  async close(): Promise<void> {
    await Promise.all(this.writes); // errors were thrown by drain, or do not matter any more
    for (const source of this.sources) await source.close();
  }

  private async settle(turn: 0 | 1): Promise<void> {
    const error = await this.writes[turn];
    if (error) throw error;
  }

  /** Fetches the part of a copy that lies in the chunk beginning at `start` of the extent. */
  private async fill(chunk: Buffer, start: number, copy: Copy): Promise<void> {
    const part = overlap(chunk, start, copy.at, copy.length);
    if (part.length === 0) return;
    const from = copy.offset + Math.max(0, start - copy.at);
    if (copy.file === null) {
      part.set(this.made.subarray(from, from + part.length));
      return;
    }
    const source = this.sources[copy.file]!;
    const path = this.paths[copy.file]!;
    for (let done = 0; done < part.length;) {
      const { bytesRead } = await source
        .read(part, done, part.length - done, from + done)
        .catch((error: Error) => {
          throw new ModelFormatError(
            'model/read',
            `reading ${path} at byte ${from + done} failed: ${error.message}`,
            'Check the storage device (dmesg) and the file, then pack again.',
          );
        });
      if (bytesRead === 0)
        throw new ModelFormatError(
          'model/truncated',
          `${path} ends at byte ${from + done}: it was cut off while it was packed`,
          'Copy or download the file again.',
        );
      done += bytesRead;
    }
  }
}

/** The part of `chunk`, which begins at `start`, that lies in [offset, offset + length). */
function overlap(chunk: Buffer, start: number, offset: number, length: number): Buffer {
  const from = Math.max(0, offset - start);
  const to = Math.min(chunk.length, offset + length - start);
  return chunk.subarray(Math.min(from, chunk.length), Math.max(from, to));
}

async function writeAll(target: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;)
    done += (await target.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}
