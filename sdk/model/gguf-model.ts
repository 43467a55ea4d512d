import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Layout } from '../../kernels/kernels.js';
import { ModelFormatError } from '../error.js';
import { FileSource } from './byte-source.js';
import { takeExperts } from './expert-tensors.js';
import { readGgufHeader, type GgufHeader } from './gguf-header.js';
import type { GgufMetadata } from './gguf-metadata.js';
import type { ModelFile, TensorInfo } from './model-file.js';

/** A GGUF model, with what only its packing needs. */
export interface GgufModel extends ModelFile {
  readonly kind: 'gguf';
  readonly metadata: GgufMetadata;
  /** Per file: size, and a stamp that changes whenever the file is written or replaced. */
  readonly parts: readonly { readonly size: number; readonly stamp: string }[];
}

const PART_NAME = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/;
const MAX_PARTS = 999;

/**
 * Opens a GGUF file, version 2 or 3. Of a split set any part may be named; all are opened. Reads the headers only and
 * keeps no file open.
 *
 * The digest is the SHA-256 of the header (of a split set: of the hex SHA-256 of each part's header, one after the
 * other). It identifies names, shapes and metadata, not weights: two models that differ in weights only have the same.
 *
 * @throws ModelFormatError (model/*) for a file that is damaged, incomplete or no GGUF.
 * @throws UnsupportedError (unsupported/weight-type) naming the tensor and the type.
 */
export async function openGguf(path: string): Promise<GgufModel> {
  const named = resolve(path);
  let first = readPart(named);
  const paths = splitPaths(named, first.header.metadata);
  if (paths[0] !== named) first = readOtherPart(paths[0]!, 0, paths.length);
  const parts = [first, ...paths.slice(1).map((other, i) => readOtherPart(other, i + 1, paths.length))];
  const metadata = first.header.metadata;
  if (paths.length > 1) checkSplit(paths, parts);

  const tensors = new Map<string, TensorInfo>();
  for (const [file, part] of parts.entries())
    for (const tensor of part.header.tensors) {
      if (tensors.has(tensor.name))
        throw new ModelFormatError(
          'model/split',
          `tensor ${tensor.name} is in ${paths[file]} and in an earlier part`,
          'The parts belong to different models, or one is damaged; download them again.',
        );
      tensors.set(tensor.name, { ...tensor, layout: Layout.Rows, file, crc32c: null });
    }
  const experts = takeExperts(tensors, paths[0]!);
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part.header.digest);
  return {
    path: paths[0]!,
    kind: 'gguf',
    files: paths,
    metadata,
    architecture: metadata.string('general.architecture'),
    tensors,
    experts,
    digest: parts.length === 1 ? first.header.digest : digest.digest('hex'),
    parts: parts.map(({ size, stamp }) => ({ size, stamp })),
  };
}

interface Part {
  readonly header: GgufHeader;
  readonly size: number;
  readonly stamp: string;
}

function readPart(path: string): Part {
  const source = new FileSource(path);
  try {
    return { header: readGgufHeader(source), size: source.size, stamp: source.stamp };
  } finally {
    source.close();
  }
}

function readOtherPart(path: string, index: number, count: number): Part {
  if (!existsSync(path))
    throw new ModelFormatError(
      'model/split',
      `part ${index + 1} of ${count} is missing: ${path}`,
      'Put all parts of the model into one directory.',
    );
  return readPart(path);
}

/** The paths of all parts, in order, by what the file at `path` says of itself and by its name. */
function splitPaths(path: string, metadata: GgufMetadata): string[] {
  const count = metadata.numberOr('split.count', 1);
  if (count <= 1) return [path];
  const number = metadata.number('split.no') + 1;
  const match = PART_NAME.exec(basename(path));
  if (count > MAX_PARTS || !match || Number(match[2]) !== number || Number(match[3]) !== count)
    throw new ModelFormatError(
      'model/split',
      `${path} is part ${number} of ${count} of a split model, but its name does not say so`,
      `Give the parts their names back: NAME-00001-of-${String(count).padStart(5, '0')}.gguf and so on.`,
    );
  return Array.from({ length: count }, (_, i) =>
    join(dirname(path), `${match[1]}-${String(i + 1).padStart(5, '0')}-of-${match[3]}.gguf`),
  );
}

function checkSplit(paths: readonly string[], parts: readonly Part[]): void {
  const first = parts[0]!.header.metadata;
  let tensors = 0;
  for (const [i, { header }] of parts.entries()) {
    tensors += header.tensors.length;
    const [no, count] = [header.metadata.number('split.no'), header.metadata.number('split.count')];
    if (no !== i || count !== paths.length)
      throw new ModelFormatError(
        'model/split',
        `${paths[i]} says it is part ${no + 1} of ${count}, its name says ${i + 1} of ${paths.length}`,
        'Give the parts their own names back, or download them again.',
      );
  }
  const expected = first.number('split.tensors.count');
  if (tensors !== expected)
    throw new ModelFormatError(
      'model/split',
      `the ${paths.length} parts of ${paths[0]} hold ${tensors} tensors instead of ${expected}`,
      'The parts belong to different models, or one is damaged; download them again.',
    );
}
