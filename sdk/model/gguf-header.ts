import { createHash } from 'node:crypto';
import { WEIGHT_TYPES, rowBytes } from '../../kernels/weight-type.js';
import { ModelFormatError, UnsupportedError } from '../error.js';
import type { ByteSource } from './byte-source.js';
import { GgufCursor } from './gguf-cursor.js';
import { GgufMetadata, VALUE_BYTES, ValueType, type MetadataEntry } from './gguf-metadata.js';

/** A tensor of one GGUF file. */
export interface GgufTensor {
  readonly name: string;
  /** ggml type number, one of WEIGHT_TYPES. */
  readonly type: number;
  /** shape[0] is the contiguous dimension. 1 to 4 entries, all positive. */
  readonly shape: readonly number[];
  /** Byte offset in the file, and bytes. */
  readonly offset: number;
  readonly length: number;
}

/** What a GGUF file says about itself before its tensor data. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  /** In the file's order. */
  readonly tensors: readonly GgufTensor[];
  /** Bytes from the start of the file to the end of the tensor table. */
  readonly headerBytes: number;
  /** Hex SHA-256 of those bytes. */
  readonly digest: string;
}

/** Arrays of arrays of arrays …; published files use none. */
const MAX_DEPTH = 4;
const MAX_NAME = 65_535;
const DEFAULT_ALIGNMENT = 32;
const DAMAGED = 'The file is damaged; copy or download it again.';

/** Types of ggml that this version does not compute, so that a refusal can call them by name. */
const OTHER_TYPES: ReadonlyMap<number, string> = new Map([
  [9, 'Q8_1'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [24, 'I8'],
  [25, 'I16'],
  [26, 'I32'],
  [27, 'I64'],
  [28, 'F64'],
  [29, 'IQ1_M'],
  [34, 'TQ1_0'],
  [35, 'TQ2_0'],
]);

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian. Only the header is read, in steps of a MiB and more.
 * Every count, length and offset is checked before it is used: errors are ModelFormatError (model/magic,
 * model/version, model/truncated, model/header, model/tensor) or UnsupportedError (unsupported/weight-type).
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function readGgufHeader(source: ByteSource): GgufHeader {
  const cursor = new GgufCursor(source);
  const version = readVersion(cursor);
  const tensorCount = cursor.u64('the number of tensors');
  const entryCount = cursor.u64('the number of metadata keys');
  // The smallest key: length, one letter, type, one byte. The smallest tensor: the same, one dimension, offset.
  cursor.checkCount(entryCount, 8 + 1 + 4 + 1, 'the number of metadata keys');
  cursor.checkCount(tensorCount, 8 + 1 + 4 + 8 + 4 + 8, 'the number of tensors');

  const entries = new Map<string, MetadataEntry>();
  for (let i = 0; i < entryCount; i++) {
    const entryStart = cursor.position;
    const key = readName(cursor, `metadata key ${i}`);
    if (entries.has(key))
      throw new ModelFormatError(
        'model/header',
        `${source.name}: metadata key ${key} appears twice`,
        DAMAGED,
      );
    entries.set(key, readEntry(cursor, key, entryStart));
  }

  const table: TableRow[] = [];
  for (let i = 0; i < tensorCount; i++) table.push(readTableRow(cursor, i));

  const bytes = cursor.header();
  const metadata = new GgufMetadata(source.name, bytes, entries);
  return {
    version,
    metadata,
    tensors: placeTensors(source, table, bytes.length, readAlignment(source, metadata)),
    headerBytes: bytes.length,
    digest: createHash('sha256').update(bytes).digest('hex'),
  };
}

/** A GGUF file with the given key-value bytes and no tensors. */
export function encodeMetadata(count: number, keyValues: Uint8Array): Buffer {
  const head = Buffer.alloc(24);
  head.write('GGUF', 0, 'latin1');
  head.writeUInt32LE(3, 4);
  head.writeUInt32LE(count, 16);
  return Buffer.concat([head, keyValues]);
}

interface TableRow {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  /** Relative to the start of the data. */
  readonly offset: number;
}

function readVersion(cursor: GgufCursor): number {
  const magic = cursor.u32('the magic number');
  if (magic !== 0x46554747) {
    const old = magic === 0x67676d6c || magic === 0x67676a74 || magic === 0x67676d66;
    throw new ModelFormatError(
      'model/magic',
      `${cursor.name} is not a GGUF file${old ? ' but its predecessor, GGML' : ''}: it does not begin with "GGUF"`,
      'Give a GGUF file of version 2 or 3, or the directory of a package.',
    );
  }
  const version = cursor.u32('the version');
  if (version === 2 || version === 3) return version;
  if (version !== 0 && (version & 0xffff) === 0)
    throw new ModelFormatError(
      'model/version',
      `${cursor.name} is a big-endian GGUF file`,
      'Convert the model again as little-endian, which is what every published model is.',
    );
  throw new ModelFormatError(
    'model/version',
    `${cursor.name} is GGUF version ${version}; versions 2 and 3 are known`,
    version === 1 ? 'Convert the model again with a current converter.' : 'Update PocketMoE.',
  );
}

function readName(cursor: GgufCursor, what: string): string {
  const name = cursor.string(what);
  // eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
  if (name.length === 0 || name.length > MAX_NAME || /[\x00-\x1f\x7f]/.test(name))
    throw new ModelFormatError(
      'model/header',
      `${cursor.name}: the name of ${what} is empty, too long or has control characters`,
      DAMAGED,
    );
  return name;
}

function readEntry(cursor: GgufCursor, key: string, entryStart: number): MetadataEntry {
  const type = cursor.u32(`the type of ${key}`);
  if (type === ValueType.Array) {
    const { elementType, count } = readArrayHead(cursor, key);
    const start = cursor.position;
    skipElements(cursor, key, elementType, count, 1);
    return { type, entryStart, start, end: cursor.position, elementType, count };
  }
  const start = cursor.position;
  skipElements(cursor, key, type, 1, 0);
  return { type, entryStart, start, end: cursor.position, elementType: type, count: 1 };
}

function readArrayHead(cursor: GgufCursor, key: string): { elementType: number; count: number } {
  const elementType = cursor.u32(`the element type of ${key}`);
  const count = cursor.u64(`the length of ${key}`);
  return { elementType, count };
}

function skipElements(cursor: GgufCursor, key: string, type: number, count: number, depth: number): void {
  if (type === ValueType.String) {
    cursor.checkCount(count, 8, `the length of ${key}`);
    for (let i = 0; i < count; i++) cursor.skipString(key);
    return;
  }
  if (type === ValueType.Array) {
    if (depth >= MAX_DEPTH)
      throw new ModelFormatError(
        'model/header',
        `${cursor.name}: ${key} nests arrays deeper than ${MAX_DEPTH}`,
        DAMAGED,
      );
    cursor.checkCount(count, 12, `the length of ${key}`);
    for (let i = 0; i < count; i++) {
      const inner = readArrayHead(cursor, key);
      skipElements(cursor, key, inner.elementType, inner.count, depth + 1);
    }
    return;
  }
  const size = VALUE_BYTES.get(type);
  if (size === undefined)
    throw new ModelFormatError(
      'model/header',
      `${cursor.name}: ${key} is of unknown value type ${type}`,
      DAMAGED,
    );
  cursor.checkCount(count, size, `the length of ${key}`);
  if (type !== ValueType.Bool) return cursor.skip(count * size, key);
  for (let i = 0; i < count; i++)
    if (cursor.u8(key) > 1)
      throw new ModelFormatError(
        'model/header',
        `${cursor.name}: ${key} has a bool that is not 0 or 1`,
        DAMAGED,
      );
}

function readTableRow(cursor: GgufCursor, index: number): TableRow {
  const name = readName(cursor, `tensor ${index}`);
  const dimensions = cursor.u32(`the dimensions of tensor ${name}`);
  if (dimensions < 1 || dimensions > 4)
    throw new ModelFormatError(
      'model/tensor',
      `${cursor.name}: tensor ${name} has ${dimensions} dimensions; 1 to 4 are possible`,
      DAMAGED,
    );
  const shape: number[] = [];
  for (let d = 0; d < dimensions; d++) shape.push(cursor.u64(`dimension ${d} of tensor ${name}`));
  const type = cursor.u32(`the type of tensor ${name}`);
  const offset = cursor.u64(`the offset of tensor ${name}`);
  return { name, shape, type, offset };
}

function readAlignment(source: ByteSource, metadata: GgufMetadata): number {
  const alignment = metadata.numberOr('general.alignment', DEFAULT_ALIGNMENT);
  if (!Number.isInteger(Math.log2(alignment)) || alignment < 1)
    throw new ModelFormatError(
      'model/header',
      `${source.name}: general.alignment is ${alignment}, not a power of two`,
      DAMAGED,
    );
  return alignment;
}

/** Checks the table's claims against each other and the file, and turns offsets into file offsets. */
function placeTensors(
  source: ByteSource,
  table: readonly TableRow[],
  headerBytes: number,
  alignment: number,
): GgufTensor[] {
  const dataStart = Math.ceil(headerBytes / alignment) * alignment;
  const names = new Set<string>();
  const tensors: GgufTensor[] = [];
  for (const row of table) {
    const wrong = (problem: string): ModelFormatError =>
      new ModelFormatError('model/tensor', `${source.name}: tensor ${row.name} ${problem}`, DAMAGED);
    if (names.has(row.name)) throw wrong('appears twice');
    names.add(row.name);
    const length = tensorBytes(row, source.name);
    if (row.offset % alignment !== 0) throw wrong(`begins at ${row.offset}, no multiple of ${alignment}`);
    const offset = dataStart + row.offset;
    if (offset + length > source.size)
      throw new ModelFormatError(
        'model/truncated',
        `${source.name} ends at byte ${source.size}, but tensor ${row.name} reaches to byte ${offset + length}`,
        'The file is cut off or damaged; copy or download it again.',
      );
    tensors.push({ name: row.name, type: row.type, shape: row.shape, offset, length });
  }
  const sorted = [...tensors].sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1]!, sorted[i]!];
    if (a.offset + a.length > b.offset)
      throw new ModelFormatError(
        'model/tensor',
        `${source.name}: tensors ${a.name} and ${b.name} overlap`,
        DAMAGED,
      );
  }
  return tensors;
}

/**
 * Bytes of a tensor. Throws UnsupportedError for types that are not computed, ModelFormatError for a shape that is
 * impossible. `where` is for messages.
 */
export function tensorBytes(
  tensor: { readonly name: string; readonly type: number; readonly shape: readonly number[] },
  where: string,
): number {
  const { name, type, shape } = tensor;
  const known = WEIGHT_TYPES.get(type);
  if (!known) {
    const called = OTHER_TYPES.get(type);
    const list = [...WEIGHT_TYPES].map(([number, t]) => `${t.name} (${number})`).join(', ');
    throw new UnsupportedError(
      'unsupported/weight-type',
      `${where}: tensor ${name} has weight type ${type}${called ? ` (${called})` : ''}, which is not supported`,
      `Use a model quantised with types of this list only: ${list}.`,
    );
  }
  const wrong = (problem: string): ModelFormatError =>
    new ModelFormatError(
      'model/tensor',
      `${where}: tensor ${name} with shape [${shape.join(', ')}] ${problem}`,
      DAMAGED,
    );
  if (shape.some((n) => n < 1)) throw wrong('is empty');
  const cols = shape[0] ?? 1;
  if (cols % known.blockSize !== 0)
    throw wrong(`and type ${known.name} has rows that do not fill blocks of ${known.blockSize} weights`);
  let length = rowBytes(type, cols);
  for (const n of shape.slice(1)) length *= n;
  // Checked after the product: a float product that overflows 2^53 stays above it.
  if (!Number.isSafeInteger(length)) throw wrong('has more than 2^53 bytes');
  return length;
}
