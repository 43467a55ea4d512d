import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ModelFormatError } from '../error.js';
import { crc32c } from '../../firmware-bridge/flash/crc32c.js';
import { openGguf } from '../model/gguf-model.js';
import { isPackage } from '../model/open-model-file.js';
import { namedExtents, readManifest, type NamedExtent } from '../model/package-manifest.js';

export interface VerifyOptions {
  signal?: AbortSignal;
  onProgress?: (progress: { doneBytes: number; totalBytes: number; what: string }) => void;
}

/** Bytes that are not what they should be. */
export interface Damage {
  /** "tensor output.weight", "expert 3 of layer 2", "metadata"; "header" for GGUF files. */
  what: string;
  /** Absolute path. */
  file: string;
  offset: number;
  length: number;
  problem: string;
}

export interface VerifyReport {
  ok: boolean;
  /** Extents checked; for GGUF files the tensors, of which only the places can be checked. */
  extents: number;
  damaged: Damage[];
}

const CHUNK = 2 ** 20;

/**
 * Checks a model on flash. Of a package every extent is read and compared with its SHA-256 and CRC32C; a GGUF file has
 * no checksums, so its structure is checked: header, tensor places, and that no byte is missing.
 *
 * Damage is reported, not thrown. Thrown are: a path without a model, a package whose manifest is broken
 * (ModelFormatError), weight types that are not supported (UnsupportedError), the signal's reason.
 */
export async function verifyModel(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  return isPackage(path) ? verifyPackage(resolve(path), options) : verifyGguf(resolve(path));
}

async function verifyGguf(path: string): Promise<VerifyReport> {
  try {
    const model = await openGguf(path);
    return { ok: true, extents: model.tensors.size + 3 * model.experts.size, damaged: [] };
  } catch (error) {
    if (!(error instanceof ModelFormatError) || ['model/open', 'model/magic'].includes(error.code))
      throw error;
    const damage = { what: 'header', file: path, offset: 0, length: 0, problem: error.message };
    return { ok: false, extents: 0, damaged: [damage] };
  }
}

async function verifyPackage(directory: string, options: VerifyOptions): Promise<VerifyReport> {
  const { manifest } = readManifest(directory);
  const extents = [...namedExtents(manifest)];
  const totalBytes = extents.reduce((sum, { extent }) => sum + extent[2], 0);
  const damaged: Damage[] = [];
  const buffer = Buffer.alloc(CHUNK);
  let doneBytes = 0;
  for (const [segment, { file, bytes }] of manifest.segments.entries()) {
    const path = join(directory, file);
    let handle: FileHandle | null = null;
    let missing = '';
    try {
      handle = await open(path, 'r');
    } catch (error) {
      missing = `cannot be read: ${(error as Error).message}`;
    }
    try {
      // Too short a segment shows in its extents.
      const size = (await handle?.stat())?.size ?? 0;
      const surplus = { what: `segment ${file}`, file: path, offset: bytes, length: size - bytes };
      if (size > bytes) damaged.push({ ...surplus, problem: 'has bytes that belong to nothing' });
      for (const named of extents) {
        const [of, offset, length] = named.extent;
        if (of !== segment) continue;
        const problem = handle ? await checkExtent(named, handle, buffer, options.signal) : missing;
        if (problem !== null) damaged.push({ what: named.what, file: path, offset, length, problem });
        doneBytes += length;
        options.onProgress?.({ doneBytes, totalBytes, what: named.what });
      }
    } finally {
      await handle?.close();
    }
  }
  return { ok: damaged.length === 0, extents: extents.length, damaged };
}

/** What is wrong with an extent, or null. */
async function checkExtent(
  { extent, pieces }: NamedExtent,
  file: FileHandle,
  buffer: Buffer,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const [, offset, length, sha256, expected] = extent;
  const hash = createHash('sha256');
  const crcs = pieces.map(() => 0);
  for (let done = 0; done < length;) {
    signal?.throwIfAborted();
    let count: number;
    try {
      ({ bytesRead: count } = await file.read(
        buffer,
        0,
        Math.min(buffer.length, length - done),
        offset + done,
      ));
    } catch (error) {
      return `cannot be read: ${(error as Error).message}`;
    }
    if (count === 0) return `the file ends at byte ${offset + done}`;
    const chunk = buffer.subarray(0, count);
    hash.update(chunk);
    for (const [i, [start, size]] of pieces.entries()) {
      const from = Math.max(0, start - done);
      const to = Math.min(count, start + size - done);
      if (from < to) crcs[i] = crc32c(chunk.subarray(from, to), crcs[i]);
    }
    done += count;
  }
  if (hash.digest('hex') !== sha256) return 'does not match its SHA-256';
  if (crcs.some((crc, i) => crc !== expected[i]))
    return 'matches its SHA-256 but not its CRC32C: the manifest is wrong';
  return null;
}
