import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { rowBytes } from '../../kernels/weight-type.js';
import { ModelFormatError } from '../error.js';
import { FileSource, MemorySource } from './byte-source.js';
import { EXPERT_ROLES } from './expert-tensors.js';
import { HEADER_LIMIT } from './gguf-cursor.js';
import { readGgufHeader } from './gguf-header.js';
import type { GgufMetadata } from './gguf-metadata.js';
import type { ExpertLayer, ExpertRole, ModelFile, RolePlace, TensorInfo } from './model-file.js';
import { readManifest, type ExpertRecord, type Extent, type Manifest } from './package-manifest.js';

/** A package as a model. */
export interface PackageModel extends ModelFile {
  readonly kind: 'package';
  readonly metadata: GgufMetadata;
}

const DAMAGED = 'Run `pocketmoe inspect MODEL --verify`, then restore the package or pack the model again.';

/**
 * Opens a package: checks its manifest, that its segment files are there in full, and its metadata's SHA-256. The
 * other extents are checked when they are read. Keeps no file open.
 *
 * @throws ModelFormatError (model/manifest, model/package-version, model/segment, model/truncated, model/corrupt).
 */
export async function openPackage(directory: string): Promise<PackageModel> {
  const path = resolve(directory);
  const { manifest, digest } = readManifest(path);
  const files = manifest.segments.map(({ file, bytes }) => {
    const segment = join(path, file);
    const size = segmentSize(segment);
    if (size !== bytes)
      throw new ModelFormatError(
        'model/segment',
        `${segment} has ${size} bytes instead of ${bytes}`,
        DAMAGED,
      );
    return segment;
  });
  const metadata = readMetadata(manifest, files);
  const tensors = new Map<string, TensorInfo>();
  for (const { name, type, layout, shape, extent } of manifest.tensors)
    tensors.set(name, { name, type, layout, shape, ...place(extent), crc32c: extent[4][0]! });
  const experts = new Map<number, ExpertLayer>();
  for (const record of [...manifest.experts].sort((a, b) => a.layer - b.layer))
    experts.set(record.layer, expertLayer(record));
  return {
    path,
    kind: 'package',
    files,
    metadata,
    architecture: metadata.string('general.architecture'),
    tensors,
    experts,
    digest,
  };
}

/** Bytes of a segment file. Throws ModelFormatError (model/segment) when it is no file. */
export function segmentSize(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) throw new ModelFormatError('model/segment', `segment ${path} is missing`, DAMAGED);
  return stat.size;
}

function place(extent: Extent): { file: number; offset: number; length: number } {
  return { file: extent[0], offset: extent[1], length: extent[2] };
}

function expertLayer(record: ExpertRecord): ExpertLayer {
  const roles = {} as Record<ExpertRole, RolePlace>;
  for (const role of EXPERT_ROLES) {
    const [piece, offset, type, layout, rows, cols] = record.roles[role];
    roles[role] = { piece, offset, type, layout, rows, cols, length: rows * rowBytes(type, cols) };
  }
  const pieces = record.extents.map(([file, start, , , crcs]) =>
    record.pieces.map(([offset, length], i) => ({ file, offset: start + offset, length, crc32c: crcs[i]! })),
  );
  return { layer: record.layer, roles, pieces };
}

/** The metadata are read now and kept, so they are checked now. */
function readMetadata(manifest: Manifest, files: readonly string[]): GgufMetadata {
  const [segment, offset, length, sha256] = manifest.metadata;
  if (length > HEADER_LIMIT)
    throw new ModelFormatError(
      'model/manifest',
      `the metadata of ${files[segment]} claim ${length} bytes`,
      DAMAGED,
    );
  const source = new FileSource(files[segment]!);
  const bytes = Buffer.alloc(length);
  try {
    source.read(offset, bytes);
  } finally {
    source.close();
  }
  const where = `the metadata in ${source.name}`;
  if (createHash('sha256').update(bytes).digest('hex') !== sha256)
    throw new ModelFormatError('model/corrupt', `${where} do not match their SHA-256`, DAMAGED);
  return readGgufHeader(new MemorySource(where, bytes)).metadata;
}
