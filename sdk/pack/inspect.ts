import { statSync } from 'node:fs';
import { WEIGHT_TYPES } from '../../kernels/weight-type.js';
import type { GgufMetadata } from '../model/gguf-metadata.js';
import type { MetadataValue } from '../model/model-file.js';
import { openModelFile } from '../model/open-model-file.js';
import { readManifest } from '../model/package-manifest.js';

/** What a model consists of, for people and programs. All sizes in bytes. */
export interface ModelDescription {
  path: string;
  kind: 'gguf' | 'package';
  name: string | null;
  architecture: string;
  /** See ModelFile.digest. */
  digest: string;
  /** All metadata but arrays and the chat template, by key; null for 64-bit integers beyond 2^53. */
  metadata: Record<string, MetadataValue | null>;
  /** Arrays by key: what they hold and how much. */
  arrays: Record<string, { type: string; count: number }>;
  /** Bytes and matrices by weight type name: of dense tensors and of experts. */
  weights: { type: string; tensors: number; denseBytes: number; expertBytes: number }[];
  denseBytes: number;
  expertBytes: number;
  experts: {
    layer: number;
    count: number;
    /** Of one expert's matrices, without padding. */
    bytesEach: number;
    /** Reads per expert: 1 or 3. */
    pieces: number;
    inputs: number;
    width: number;
    types: { gate: string; up: string; down: string };
  }[];
  /** Ranges that are read as one and, in a package, have a checksum. */
  extents: number;
  files: { path: string; bytes: number | null }[];
  /** Packages only. */
  package: { formatVersion: number; layoutVersion: number; createdBy: string; source: string } | null;
}

/** Describes the model at `path`, a GGUF file or a package. Reads no weights. Throws what openModelFile throws. */
export async function inspectModel(path: string): Promise<ModelDescription> {
  const model = await openModelFile(path);
  const weights = new Map<number, ModelDescription['weights'][number]>();
  const weight = (type: number): ModelDescription['weights'][number] => {
    const entry = weights.get(type) ?? { type: typeName(type), tensors: 0, denseBytes: 0, expertBytes: 0 };
    weights.set(type, entry);
    return entry;
  };
  for (const { type, length } of model.tensors.values()) {
    weight(type).tensors += 1;
    weight(type).denseBytes += length;
  }
  let extents = model.tensors.size;
  const experts: ModelDescription['experts'] = [];
  for (const { layer, roles, pieces } of model.experts.values()) {
    const { gate, up, down } = roles;
    const count = pieces.length;
    for (const { type, length } of [gate, up, down]) {
      weight(type).tensors += 1;
      weight(type).expertBytes += length * count;
    }
    extents += model.kind === 'package' ? count : 3 * count;
    experts.push({
      layer,
      count,
      bytesEach: gate.length + up.length + down.length,
      pieces: pieces[0]?.length ?? 0,
      inputs: gate.cols,
      width: gate.rows,
      types: { gate: typeName(gate.type), up: typeName(up.type), down: typeName(down.type) },
    });
  }
  const list = [...weights.values()].sort(
    (a, b) => b.denseBytes + b.expertBytes - a.denseBytes - a.expertBytes,
  );
  return {
    path: model.path,
    kind: model.kind,
    name: model.metadata.stringOr('general.name', null),
    architecture: model.architecture,
    digest: model.digest,
    ...describeMetadata(model.metadata as GgufMetadata),
    weights: list,
    denseBytes: list.reduce((sum, entry) => sum + entry.denseBytes, 0),
    expertBytes: list.reduce((sum, entry) => sum + entry.expertBytes, 0),
    experts,
    extents: model.kind === 'package' ? extents + 1 : extents,
    files: model.files.map((file) => ({
      path: file,
      bytes: statSync(file, { throwIfNoEntry: false })?.size ?? null,
    })),
    package: model.kind === 'package' ? describePackage(model.path) : null,
  };
}

function describeMetadata(metadata: GgufMetadata): Pick<ModelDescription, 'metadata' | 'arrays'> {
  const values: ModelDescription['metadata'] = {};
  const arrays: ModelDescription['arrays'] = {};
  for (const key of metadata.keys()) {
    const type = metadata.typeName(key);
    if (type.startsWith('array'))
      arrays[key] = { type: type.replace('array of ', ''), count: metadata.count(key) };
    else if (key !== 'tokenizer.chat_template') values[key] = valueOrNull(metadata, key);
  }
  return { metadata: values, arrays };
}

/** A key that nothing here needs must not keep the model from being described, whatever it holds. */
function valueOrNull(metadata: GgufMetadata, key: string): MetadataValue | null {
  try {
    return metadata.value(key);
  } catch {
    return null;
  }
}

function describePackage(path: string): NonNullable<ModelDescription['package']> {
  const { formatVersion, layoutVersion, createdBy, source } = readManifest(path).manifest;
  return { formatVersion, layoutVersion, createdBy, source: source.file };
}

function typeName(type: number): string {
  return WEIGHT_TYPES.get(type)?.name ?? String(type);
}
