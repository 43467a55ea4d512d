import { readFileSync, statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as v from 'valibot';
import { Layout } from '../../kernels/kernels.js';
import { ModelFormatError } from '../error.js';
import { EXPERT_ROLES } from './expert-tensors.js';
import { tensorBytes } from './gguf-header.js';

/** The package format is described in docs/package-format.md. */
export const FORMAT = 'pocketmoe-package';
/** Grows when a reader of the version before could not read the package. */
export const FORMAT_VERSION = 1;
/** Grows when the kernels want weights in another order; only packing again helps then. */
export const LAYOUT_VERSION = 1;
export const MANIFEST_FILE = 'manifest.json';
/** Extents, and matrices that are read on their own, begin at multiples of this: what direct reads need. */
export const EXTENT_ALIGNMENT = 4096;
/** Matrices that share a piece begin at multiples of this inside it. */
export const MATRIX_ALIGNMENT = 64;

/** Far above any model (64 experts in 52 layers: half a MiB), far below what would hurt. */
const MANIFEST_LIMIT = 64 * 2 ** 20;
const DAMAGED = 'The package is damaged; restore it or pack the model again.';

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const Crc = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0xffffffff));
const Sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
// No separators, no leading dot, so no way out of the directory.
const FileName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.seg$/));
// eslint-disable-next-line no-control-regex -- control characters are exactly what is refused
const Name = v.pipe(v.string(), v.minLength(1), v.maxLength(65_535), v.regex(/^[^\x00-\x1f\x7f]*$/));

/** [segment, offset, length, sha256, crc32c of each piece] */
const ExtentSchema = v.strictTuple([Count, Count, Positive, Sha256, v.array(Crc)]);
/** [piece, offset in the piece, type, layout, rows, cols] */
const RoleSchema = v.strictTuple([Count, Count, Count, Count, Positive, Positive]);
const ManifestSchema = v.object({
  format: v.literal(FORMAT),
  formatVersion: v.literal(FORMAT_VERSION),
  layoutVersion: v.literal(LAYOUT_VERSION),
  name: v.string(),
  architecture: v.string(),
  createdBy: v.string(),
  source: v.object({ file: v.string(), bytes: Count, headerSha256: Sha256 }),
  segments: v.array(v.object({ file: FileName, bytes: Count })),
  metadata: ExtentSchema,
  tensors: v.array(
    v.object({
      name: Name,
      type: Count,
      layout: Count,
      shape: v.pipe(v.array(Positive), v.minLength(1), v.maxLength(4)),
      extent: ExtentSchema,
    }),
  ),
  experts: v.array(
    v.object({
      layer: Count,
      pieces: v.pipe(v.array(v.strictTuple([Count, Positive])), v.minLength(1)),
      roles: v.object({ gate: RoleSchema, up: RoleSchema, down: RoleSchema }),
      extents: v.pipe(v.array(ExtentSchema), v.minLength(1)),
    }),
  ),
});

export type Extent = v.InferOutput<typeof ExtentSchema>;
export type ExpertRecord = v.InferOutput<typeof ManifestSchema>['experts'][number];
export type Manifest = v.InferOutput<typeof ManifestSchema>;

/**
 * Reads and checks a package's manifest: its form, and everything it says about itself. The segment files are not
 * looked at. `digest` is the SHA-256 of the manifest's bytes.
 */
export function readManifest(directory: string): { manifest: Manifest; digest: string } {
  const path = join(directory, MANIFEST_FILE);
  const bytes = readBytes(path, directory);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new ModelFormatError('model/manifest', `${path} is no JSON: ${(error as Error).message}`, DAMAGED);
  }
  checkVersion(json, path, directory);
  const result = v.safeParse(ManifestSchema, json, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const at = v.getDotPath(issue) ?? 'the whole';
    throw new ModelFormatError('model/manifest', `${path}: ${at} is wrong: ${issue.message}`, DAMAGED);
  }
  checkClaims(result.output, path);
  return { manifest: result.output, digest: createHash('sha256').update(bytes).digest('hex') };
}

/** An extent, what it holds, and its pieces as [offset in the extent, length], one per CRC. */
export interface NamedExtent {
  readonly what: string;
  readonly extent: Extent;
  readonly pieces: readonly (readonly [number, number])[];
}

/** All extents of a manifest. */
export function* namedExtents(manifest: Manifest): Generator<NamedExtent> {
  const { metadata } = manifest;
  yield { what: 'metadata', extent: metadata, pieces: [[0, metadata[2]]] };
  for (const { name, extent } of manifest.tensors)
    yield { what: `tensor ${name}`, extent, pieces: [[0, extent[2]]] };
  for (const { layer, pieces, extents } of manifest.experts)
    for (const [expert, extent] of extents.entries())
      yield { what: `expert ${expert} of layer ${layer}`, extent, pieces };
}

function readBytes(path: string, directory: string): Buffer {
  try {
    if (statSync(path).size > MANIFEST_LIMIT)
      throw new ModelFormatError('model/manifest', `${path} is larger than any manifest`, DAMAGED);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof ModelFormatError) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new ModelFormatError(
        'model/manifest',
        `${directory} has no ${MANIFEST_FILE}: it is no package, or packing did not finish`,
        `Run \`pocketmoe pack SOURCE ${quote(directory)}\`; it continues where it stopped.`,
      );
    throw new ModelFormatError(
      'model/manifest',
      `${path} cannot be read: ${(error as Error).message}`,
      'Check the path and its permissions.',
    );
  }
}

/** Versions are checked before the form, because another version may have another form. */
function checkVersion(json: unknown, path: string, directory: string): void {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>;
  if (found['format'] !== FORMAT)
    throw new ModelFormatError(
      'model/manifest',
      `${path} is not the manifest of a PocketMoE package`,
      DAMAGED,
    );
  const source = (found['source'] as Record<string, unknown> | null | undefined)?.['file'];
  const command = `pocketmoe pack ${typeof source === 'string' ? quote(source) : 'SOURCE'} ${quote(directory)} --overwrite`;
  const { formatVersion, layoutVersion } = found;
  if (formatVersion !== FORMAT_VERSION)
    throw new ModelFormatError(
      'model/package-version',
      `${directory} has package format ${JSON.stringify(formatVersion)}; this version of PocketMoE reads format ${FORMAT_VERSION}`,
      `Update PocketMoE, or pack the model again: ${command}`,
    );
  if (layoutVersion !== LAYOUT_VERSION)
    throw new ModelFormatError(
      'model/package-version',
      `${directory} has weight layout ${JSON.stringify(layoutVersion)}; this version of PocketMoE computes layout ${LAYOUT_VERSION}`,
      `Pack the model again: ${command}`,
    );
}

/** Everything a manifest says must fit together, so that readers can use it without checks of their own. */
function checkClaims(manifest: Manifest, path: string): void {
  const fail = (problem: string): never => {
    throw new ModelFormatError('model/manifest', `${path}: ${problem}`, DAMAGED);
  };
  const files = new Set<string>();
  for (const { file, bytes } of manifest.segments) {
    if (files.has(file)) fail(`segment ${file} appears twice`);
    files.add(file);
    if (bytes % EXTENT_ALIGNMENT !== 0) fail(`segment ${file} is no multiple of ${EXTENT_ALIGNMENT} bytes`);
  }

  const names = new Set<string>();
  for (const tensor of manifest.tensors) {
    if (names.has(tensor.name)) fail(`tensor ${tensor.name} appears twice`);
    names.add(tensor.name);
    if (tensor.layout !== Layout.Rows) fail(`tensor ${tensor.name} has unknown layout ${tensor.layout}`);
    if (tensorBytes(tensor, path) !== tensor.extent[2])
      fail(`tensor ${tensor.name} has an extent of another size than its shape`);
    if (tensor.extent[4].length !== 1) fail(`tensor ${tensor.name} needs exactly one CRC`);
  }
  if (manifest.metadata[4].length !== 1) fail('the metadata need exactly one CRC');

  const layers = new Set<number>();
  for (const record of manifest.experts) {
    if (layers.has(record.layer)) fail(`layer ${record.layer} appears twice`);
    layers.add(record.layer);
    checkExperts(record, path, fail);
  }
  checkPlaces(manifest, fail);
}

function checkExperts(record: ExpertRecord, path: string, fail: (problem: string) => never): void {
  const where = `experts of layer ${record.layer}`;
  if (record.pieces.length !== 1 && record.pieces.length !== 3)
    fail(`${where} have neither one piece nor three`);
  let end = 0;
  for (const [offset, length] of record.pieces) {
    if (offset % EXTENT_ALIGNMENT !== 0 || offset < end)
      fail(`${where} have a piece at impossible offset ${offset}`);
    end = offset + length;
  }
  if (record.pieces[0]![0] !== 0) fail(`${where} do not begin with their first piece`);
  const { gate, up, down } = record.roles;
  if (gate[4] !== up[4] || gate[5] !== up[5] || down[4] !== gate[5] || down[5] !== gate[4])
    fail(`${where} have matrices that do not fit together`);
  const used = record.pieces.map(() => 0);
  for (const role of EXPERT_ROLES) {
    const [piece, offset, type, layout, rows, cols] = record.roles[role];
    const length = tensorBytes({ name: `${role} of the ${where}`, type, shape: [cols, rows] }, path);
    const before = used[piece];
    if (record.pieces.length === 3 && piece !== EXPERT_ROLES.indexOf(role))
      fail(`${where}: ${role} is out of order`);
    if (layout !== Layout.Rows) fail(`${where}: ${role} has unknown layout ${layout}`);
    if (before === undefined || offset < before || offset % MATRIX_ALIGNMENT !== 0)
      fail(`${where}: ${role} has impossible place [${piece}, ${offset}]`);
    if (offset + length > record.pieces[piece]![1]) fail(`${where}: ${role} does not fit into its piece`);
    used[piece] = offset + length;
  }
  for (const [expert, extent] of record.extents.entries()) {
    if (extent[2] !== end) fail(`expert ${expert} of layer ${record.layer} has an extent of another size`);
    if (extent[4].length !== record.pieces.length)
      fail(`expert ${expert} of layer ${record.layer} has not one CRC per piece`);
  }
}

/** Extents lie inside their segments, aligned, without overlap. */
function checkPlaces(manifest: Manifest, fail: (problem: string) => never): void {
  const bySegment = manifest.segments.map((): NamedExtent[] => []);
  for (const named of namedExtents(manifest)) {
    const [segment, offset, length] = named.extent;
    const list = bySegment[segment];
    const bytes = manifest.segments[segment]?.bytes ?? 0;
    if (!list || offset % EXTENT_ALIGNMENT !== 0 || offset + length > bytes)
      return fail(`the extent of ${named.what} lies outside the segments or is not aligned`);
    list.push(named);
  }
  for (const list of bySegment) {
    list.sort((a, b) => a.extent[1] - b.extent[1]);
    for (let i = 1; i < list.length; i++) {
      const [a, b] = [list[i - 1]!, list[i]!];
      if (a.extent[1] + a.extent[2] > b.extent[1]) fail(`the extents of ${a.what} and ${b.what} overlap`);
    }
  }
}

/** A path as a shell takes it. */
function quote(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
