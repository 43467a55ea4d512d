/** Type numbers of GGUF metadata values. */
const UINT32 = 4;
const INT32 = 5;
const FLOAT32 = 6;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

export interface HeaderTensor {
  name: string;
  /** ggml order: inputs first. */
  shape: readonly number[];
  type: number;
  /** Bytes from the start of the data section. */
  offset: number;
}

/** Collects metadata and writes the header of a GGUF v3 file. */
export class GgufHeader {
  private readonly entries: Buffer[] = [];

  string(key: string, value: string): void {
    this.add(key, STRING, text(value));
  }

  uint32(key: string, value: number): void {
    this.add(key, UINT32, uint32(value));
  }

  float32(key: string, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.add(key, FLOAT32, bytes);
  }

  boolean(key: string, value: boolean): void {
    this.add(key, BOOL, Buffer.from([value ? 1 : 0]));
  }

  strings(key: string, values: readonly string[]): void {
    this.add(key, ARRAY, Buffer.concat([uint32(STRING), uint64(values.length), ...values.map(text)]));
  }

  int32s(key: string, values: readonly number[]): void {
    const bytes = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => bytes.writeInt32LE(value, i * 4));
    this.add(key, ARRAY, Buffer.concat([uint32(INT32), uint64(values.length), bytes]));
  }

  /** An entry as another file holds it: key, type and value. */
  raw(entry: Uint8Array): void {
    this.entries.push(Buffer.from(entry));
  }

  /** The header, padded to `alignment`, where the data section starts. */
  bytes(tensors: readonly HeaderTensor[], alignment: number): Buffer {
    const parts = [
      Buffer.from('GGUF'),
      uint32(3),
      uint64(tensors.length),
      uint64(this.entries.length),
      ...this.entries,
    ];
    for (const tensor of tensors)
      parts.push(
        text(tensor.name),
        uint32(tensor.shape.length),
        ...tensor.shape.map(uint64),
        uint32(tensor.type),
        uint64(tensor.offset),
      );
    const header = Buffer.concat(parts);
    return Buffer.concat([header, Buffer.alloc(padding(header.length, alignment))]);
  }

  private add(key: string, type: number, value: Buffer): void {
    this.entries.push(Buffer.concat([text(key), uint32(type), value]));
  }
}

/** Bytes missing to the next multiple of `alignment`. */
export function padding(length: number, alignment: number): number {
  return (alignment - (length % alignment)) % alignment;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
