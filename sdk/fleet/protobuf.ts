import { TelemetryError } from './telemetry-error.js';

/** How a field's value is laid out (protocol buffers, "Encoding"). */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** Writes the fields of a protocol buffers message. Field numbers below 16 take one byte, with the wire type. */
export class ProtobufWriter {
  #buffer = Buffer.allocUnsafe(256);
  #length = 0;

  /** Unsigned whole number. Negative bigints are written as 64-bit two's complement. */
  varint(field: number, value: number | bigint): this {
    this.#tag(field, VARINT);
    this.#varint(value);
    return this;
  }

  bool(field: number, value: boolean): this {
    return this.varint(field, value ? 1 : 0);
  }

  double(field: number, value: number): this {
    this.#tag(field, FIXED64);
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'));
  }

  message(field: number, value: ProtobufWriter): this {
    return this.bytes(field, value.finish());
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #tag(field: number, type: number): void {
    this.#varint((field << 3) | type);
  }

  #varint(value: number | bigint): void {
    this.#reserve(10);
    if (typeof value === 'number' && value < 2 ** 31) {
      while (value > 0x7f) {
        this.#buffer[this.#length++] = (value & 0x7f) | 0x80;
        value >>>= 7;
      }
      this.#buffer[this.#length++] = value;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

/** A field as it was found. Numbers of varint fields are bigint, since they may need 64 bits. */
export type ProtobufField =
  | { readonly number: number; readonly type: typeof VARINT; readonly value: bigint }
  | {
      readonly number: number;
      readonly type: typeof FIXED64 | typeof FIXED32 | typeof BYTES;
      readonly value: Buffer;
    };

const broken = (what: string) =>
  new TelemetryError(
    'telemetry/protobuf',
    `the message ${what}`,
    'It is not a whole protocol buffers message.',
  );

/**
 * The fields of a message, in order; every length is checked against what is there.
 * Throws TelemetryError (telemetry/protobuf) for truncated or malformed bytes, and for more than `limit` fields.
 */
export function* readProtobuf(bytes: Uint8Array, limit: number): Generator<ProtobufField, void, undefined> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = buffer[at++];
      if (byte === undefined) throw broken('ends inside a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw broken('holds a number longer than 10 bytes');
  };
  const take = (length: number): Buffer => {
    if (length > buffer.length - at) throw broken(`promises ${length} bytes, ${buffer.length - at} are left`);
    at += length;
    return buffer.subarray(at - length, at);
  };
  for (let count = 0; at < buffer.length; count++) {
    if (count === limit) throw broken(`has more than ${limit} fields`);
    const tag = varint();
    const number = Number(tag >> 3n);
    const type = Number(tag & 7n);
    if (number === 0 || number > 0x1fffffff) throw broken(`holds field number ${number}`);
    if (type === VARINT) yield { number, type, value: varint() };
    else if (type === FIXED64) yield { number, type, value: take(8) };
    else if (type === FIXED32) yield { number, type, value: take(4) };
    else if (type === BYTES) yield { number, type, value: take(Number(varint())) };
    else throw broken(`holds wire type ${type}`);
  }
}
