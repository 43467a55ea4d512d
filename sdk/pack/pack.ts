import { resolve } from 'node:path';
import { OptionError } from '../error.js';
import { openGguf } from '../model/gguf-model.js';
import { writeError } from './pack-error.js';
import { lock } from './pack-lock.js';
import { PackOutput } from './pack-output.js';
import { planPackage, type ExpertOrder } from './package-plan.js';
import { Packing } from './packing.js';

export interface PackOptions {
  /** Stops packing; what was packed is kept for the next time. */
  signal?: AbortSignal;
  onProgress?: (progress: PackProgress) => void;
  /** Replace the package at the output. It stays valid until the new one is complete. Default false. */
  overwrite?: boolean;
  /** Order of the experts on flash, by layer number: neighbours are read well together. Default 0, 1, 2 … */
  expertOrder?: ExpertOrder;
  /** Bytes between points that a crash cannot undo. Default 64 MiB. */
  syncBytes?: number;
}

export interface PackProgress {
  doneBytes: number;
  totalBytes: number;
  /** What is being packed, such as "expert 3 of layer 2". */
  what: string;
}

export interface PackReport {
  /** Absolute path of the package. */
  path: string;
  /** SHA-256 of the manifest: the package's identity. */
  digest: string;
  /** Bytes of all files. */
  bytes: number;
  segments: { file: string; bytes: number }[];
  extents: number;
  /** Bytes taken over from an interrupted packing. */
  resumedBytes: number;
  /** Tensors whose weight type was changed. None so far: every readable type is computed as it is. */
  converted: { name: string; from: string; to: string; largestError: number }[];
  /** What the user should know, such as an old journal that was of no use. */
  notices: string[];
}

/**
 * Packs a GGUF model (any part of a split set) into the package `output`, a directory. The same input and options give
 * the same bytes. Takes about 10 MiB besides the header. The package becomes visible with its manifest, last; when
 * packing is interrupted, even by kill -9 or power loss, packing again continues.
 *
 * @throws PackError pack/exists, pack/busy, pack/write, pack/file-size, pack/source-changed; NoSpaceError.
 * @throws OptionError for an impossible expertOrder; ModelFormatError and UnsupportedError for the input.
 * @throws the signal's reason when aborted.
 */
export async function pack(input: string, output: string, options: PackOptions = {}): Promise<PackReport> {
  options.signal?.throwIfAborted();
  if (options.syncBytes !== undefined && !(options.syncBytes >= 1))
    throw new OptionError(
      'option/sync-bytes',
      `syncBytes is ${options.syncBytes}`,
      'Give a number of 1 or more.',
    );
  const model = await openGguf(input);
  const plan = planPackage(model, options.expertOrder ?? new Map());
  const place = new PackOutput(resolve(output));
  const packing = new Packing(model, plan, place, options);
  let unlock: (() => Promise<void>) | undefined;
  try {
    await place.prepare();
    unlock = await lock(place.directory);
    return await packing.run();
  } catch (error) {
    // Errors of reading have become model errors on the way, so a system error comes from the output.
    const failed = error as NodeJS.ErrnoException;
    if (failed.syscall === undefined) throw error;
    throw writeError(place.directory, failed, packing.neededBytes(), await place.freeBytes());
  } finally {
    // Without the lock the directory may be another packer's, empty because that has only begun.
    if (unlock) {
      await unlock().catch(() => undefined);
      await place.removeIfEmpty();
    }
  }
}
