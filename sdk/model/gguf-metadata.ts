import { ModelFormatError } from '../error.js';
import type { Metadata, MetadataValue } from './model-file.js';

/** Value types of GGUF metadata, by number. */
export const ValueType = {
  U8: 0,
  I8: 1,
  U16: 2,
  I16: 3,
  U32: 4,
  I32: 5,
  F32: 6,
  Bool: 7,
  String: 8,
  Array: 9,
  U64: 10,
  I64: 11,
  F64: 12,
} as const;

/** Bytes of a value of each fixed-size type. */
export const VALUE_BYTES: ReadonlyMap<number, number> = new Map([
  [ValueType.U8, 1],
  [ValueType.I8, 1],
  [ValueType.U16, 2],
  [ValueType.I16, 2],
  [ValueType.U32, 4],
  [ValueType.I32, 4],
  [ValueType.F32, 4],
  [ValueType.Bool, 1],
  [ValueType.U64, 8],
  [ValueType.I64, 8],
  [ValueType.F64, 8],
]);

const TYPE_NAMES = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
];

/** Where a key's value lies in the header bytes. For arrays, `start` is after element type and count. */
export interface MetadataEntry {
  readonly type: number;
  /** First byte of the key's length. */
  readonly entryStart: number;
  readonly start: number;
  readonly end: number;
  /** Arrays only. */
  readonly elementType: number;
  readonly count: number;
}

/**
 * Metadata over the header's bytes, whose structure the header parser has checked. Nothing is decoded before it is
 * asked for, and arrays are decoded anew on each call: opening a model costs no decoding of its vocabulary, and the
 * decoded strings live only as long as the caller wants them.
 */
export class GgufMetadata implements Metadata {
  constructor(
    /** For messages. */
    private readonly name: string,
    private readonly bytes: Buffer,
    private readonly entries: ReadonlyMap<string, MetadataEntry>,
  ) {}

  keys(): Iterable<string> {
    return this.entries.keys();
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  string(key: string): string {
    const entry = this.entry(key, 'string', (type) => type === ValueType.String);
    return this.bytes.toString('utf8', entry.start + 8, entry.end);
  }

  number(key: string): number {
    const entry = this.entry(key, 'number', isNumber);
    return this.decodeNumber(key, entry.type, entry.start);
  }

  boolean(key: string): boolean {
    const entry = this.entry(key, 'bool', (type) => type === ValueType.Bool);
    return this.bytes[entry.start] === 1;
  }

  strings(key: string): readonly string[] {
    return this.decodeStrings(this.array(key, 'array of strings', (type) => type === ValueType.String));
  }

  eachString(
    key: string,
    visit: (bytes: Uint8Array, from: number, to: number, index: number) => void,
  ): number {
    const entry = this.array(key, 'array of strings', (type) => type === ValueType.String);
    let at = entry.start;
    for (let i = 0; i < entry.count; i++) {
      const end = at + 8 + this.bytes.readUInt32LE(at); // lengths were checked against the file
      visit(this.bytes, at + 8, end, i);
      at = end;
    }
    return entry.count;
  }

  /** Booleans count as 0 and 1: some files keep per-layer switches that way. */
  numbers(key: string): Float64Array {
    const entry = this.array(key, 'array of numbers', (type) => isNumber(type) || type === ValueType.Bool);
    return this.decodeNumbers(key, entry);
  }

  stringOr<T>(key: string, fallback: T): string | T {
    return this.has(key) ? this.string(key) : fallback;
  }

  numberOr<T>(key: string, fallback: T): number | T {
    return this.has(key) ? this.number(key) : fallback;
  }

  booleanOr<T>(key: string, fallback: T): boolean | T {
    return this.has(key) ? this.boolean(key) : fallback;
  }

  /** The value whatever its type. Arrays of numbers come as Float64Array. */
  value(key: string): MetadataValue {
    const entry = this.entry(key, 'value', () => true);
    if (entry.type === ValueType.Array) return this.decodeArray(key, entry);
    if (entry.type === ValueType.String) return this.string(key);
    if (entry.type === ValueType.Bool) return this.boolean(key);
    return this.decodeNumber(key, entry.type, entry.start);
  }

  /** Name of a key's type, such as "u32" or "array of string". */
  typeName(key: string): string {
    const entry = this.entry(key, 'value', () => true);
    return nameOf(entry);
  }

  /** Elements of an array, or 1. */
  count(key: string): number {
    const entry = this.entry(key, 'value', () => true);
    return entry.type === ValueType.Array ? entry.count : 1;
  }

  /**
   * The key-value bytes as the file has them, for a file with the same metadata. `keep` chooses keys.
   */
  encoded(keep: (key: string) => boolean): { count: number; bytes: Buffer } {
    const parts: Buffer[] = [];
    for (const [key, entry] of this.entries)
      if (keep(key)) parts.push(this.bytes.subarray(entry.entryStart, entry.end));
    return { count: parts.length, bytes: Buffer.concat(parts) };
  }

  private entry(key: string, expected: string, accept: (type: number) => boolean): MetadataEntry {
    const entry = this.entries.get(key);
    if (!entry)
      throw new ModelFormatError(
        'model/metadata',
        `${this.name} has no key ${key} (${expected} expected)`,
        'Convert the model again with a current converter, or use another model.',
      );
    if (!accept(entry.type)) throw this.mismatch(key, expected, nameOf(entry));
    return entry;
  }

  private array(key: string, expected: string, accept: (type: number) => boolean): MetadataEntry {
    const entry = this.entry(key, expected, (type) => type === ValueType.Array);
    // An empty array says nothing about its elements.
    if (entry.count > 0 && !accept(entry.elementType)) throw this.mismatch(key, expected, nameOf(entry));
    return entry;
  }

  private mismatch(key: string, expected: string, found: string): ModelFormatError {
    return new ModelFormatError(
      'model/metadata',
      `${this.name}: key ${key} is of type ${found}, ${expected} expected`,
      'Convert the model again with a current converter, or use another model.',
    );
  }

  private decodeStrings(entry: MetadataEntry): string[] {
    const strings = new Array<string>(entry.count);
    let at = entry.start;
    for (let i = 0; i < entry.count; i++) {
      const end = at + 8 + this.bytes.readUInt32LE(at); // lengths were checked against the file
      strings[i] = this.bytes.toString('utf8', at + 8, end);
      at = end;
    }
    return strings;
  }

  private decodeNumbers(key: string, entry: MetadataEntry): Float64Array {
    const numbers = new Float64Array(entry.count);
    const size = VALUE_BYTES.get(entry.elementType) ?? 0;
    for (let i = 0; i < entry.count; i++)
      numbers[i] = this.decodeNumber(key, entry.elementType, entry.start + i * size);
    return numbers;
  }

  private decodeArray(key: string, entry: MetadataEntry): MetadataValue {
    if (entry.elementType === ValueType.String) return this.decodeStrings(entry);
    if (entry.elementType !== ValueType.Array) return this.decodeNumbers(key, entry);
    const values: MetadataValue[] = [];
    let at = entry.start;
    for (let i = 0; i < entry.count; i++) {
      const inner = this.innerArray(at);
      values.push(this.decodeArray(key, inner));
      at = inner.end;
    }
    return values;
  }

  /** The array whose element type begins at `at`. */
  private innerArray(at: number): MetadataEntry {
    const elementType = this.bytes.readUInt32LE(at);
    const count = this.bytes.readUInt32LE(at + 4);
    const start = at + 12;
    let end = start;
    if (elementType === ValueType.String)
      for (let i = 0; i < count; i++) end += 8 + this.bytes.readUInt32LE(end);
    else if (elementType === ValueType.Array) for (let i = 0; i < count; i++) end = this.innerArray(end).end;
    else end += count * (VALUE_BYTES.get(elementType) ?? 0);
    return { type: ValueType.Array, entryStart: at, start, end, elementType, count };
  }

  private decodeNumber(key: string, type: number, at: number): number {
    const b = this.bytes;
    switch (type) {
      case ValueType.U8:
      case ValueType.Bool:
        return b.readUInt8(at);
      case ValueType.I8:
        return b.readInt8(at);
      case ValueType.U16:
        return b.readUInt16LE(at);
      case ValueType.I16:
        return b.readInt16LE(at);
      case ValueType.U32:
        return b.readUInt32LE(at);
      case ValueType.I32:
        return b.readInt32LE(at);
      case ValueType.F32:
        return b.readFloatLE(at);
      case ValueType.F64:
        return b.readDoubleLE(at);
      default: {
        const value = Number(type === ValueType.U64 ? b.readBigUInt64LE(at) : b.readBigInt64LE(at));
        if (!Number.isSafeInteger(value)) throw this.mismatch(key, 'number below 2^53', `${value}`);
        return value;
      }
    }
  }
}

function isNumber(type: number): boolean {
  return VALUE_BYTES.has(type) && type !== ValueType.Bool;
}

function nameOf(entry: MetadataEntry): string {
  const name = TYPE_NAMES[entry.type] ?? String(entry.type);
  return entry.type === ValueType.Array ? `array of ${TYPE_NAMES[entry.elementType]}` : name;
}
