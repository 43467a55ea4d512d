/**
 * How close a result must be to what is expected. `rms`: root mean square of the differences. `each`: every number
 * within relative · |expected| + absolute. `rows`: each row of `width` numbers within `far` of its size, root mean
 * square over root mean square, and no more than one row in three farther than `near`.
 */
export type Closeness =
  | { readonly kind: 'same bits' }
  | { readonly kind: 'rms'; readonly limit: number }
  | { readonly kind: 'each'; readonly relative: number; readonly absolute: number }
  | {
      readonly kind: 'rows';
      readonly width: number;
      readonly stride: number;
      readonly near: number;
      readonly far: number;
    };

/** One call of one kernel: what goes in and what must come out. */
export interface Vector {
  /** The kernel; vectors.cpp has a function for each. */
  readonly kernel: string;
  readonly name: string;
  /** The call's numbers, in the order in which vectors.cpp takes them. */
  readonly numbers: readonly number[];
  /** The call's arrays, in that order. */
  readonly inputs: readonly (Uint8Array | Float32Array | Int32Array)[];
  /** What stands in the result before the call. */
  readonly before: Uint8Array | Float32Array;
  readonly expected: Uint8Array | Float32Array;
  readonly closeness: Closeness;
}

/** Stands in results where a kernel may not write, such as the gap between rows. */
export const GUARD = 123.5;

const MAGIC = 'PMVEC 1\n';

/**
 * Vectors as a file, little-endian: the magic, a uint32 count, then each vector's fields in the order below. Texts and
 * arrays are a uint32 of bytes and the bytes; lists a uint32 count and the items; numbers float64.
 */
export function vectorFile(vectors: readonly Vector[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(MAGIC, 'latin1')];
  const count = (n: number) => parts.push(new Uint8Array(Uint32Array.of(n).buffer));
  const bytes = (array: ArrayBufferView) => {
    count(array.byteLength);
    parts.push(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  };
  const numbers = (values: readonly number[]) => {
    count(values.length);
    parts.push(new Uint8Array(Float64Array.from(values).buffer));
  };
  count(vectors.length);
  for (const { kernel, name, numbers: values, inputs, before, expected, closeness } of vectors) {
    if (before.byteLength !== expected.byteLength)
      throw new RangeError(
        `${name}: the result has ${expected.byteLength} bytes, before ${before.byteLength}`,
      );
    bytes(Buffer.from(kernel));
    bytes(Buffer.from(name));
    numbers(values);
    count(inputs.length);
    inputs.forEach(bytes);
    bytes(before);
    bytes(expected);
    bytes(Buffer.from(closeness.kind));
    numbers(Object.values(closeness).filter((value) => typeof value === 'number'));
  }
  return Buffer.concat(parts);
}
