import type { Metadata, MetadataValue } from '../../sdk/model/model-file.js';

/** Metadata from a plain object, for tests that need odd values. */
export class ListMetadata implements Metadata {
  constructor(private readonly values: Readonly<Record<string, MetadataValue>>) {}

  keys(): Iterable<string> {
    return Object.keys(this.values);
  }

  has(key: string): boolean {
    return key in this.values;
  }

  string(key: string): string {
    return this.get(key, (value) => typeof value === 'string');
  }

  number(key: string): number {
    return this.get(key, (value) => typeof value === 'number');
  }

  boolean(key: string): boolean {
    return this.get(key, (value) => typeof value === 'boolean');
  }

  strings(key: string): readonly string[] {
    return this.get(key, (value) => Array.isArray(value));
  }

  eachString(
    key: string,
    visit: (bytes: Uint8Array, from: number, to: number, index: number) => void,
  ): number {
    const list = this.strings(key);
    list.forEach((text, index) => {
      const bytes = Buffer.from(text);
      visit(bytes, 0, bytes.length, index);
    });
    return list.length;
  }

  numbers(key: string): Float64Array {
    return Float64Array.from(this.get<number[]>(key, (value) => Array.isArray(value)));
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

  private get<T>(key: string, accept: (value: unknown) => boolean): T {
    const value = this.values[key];
    if (!accept(value)) throw new TypeError(`${key} is ${String(value)}`);
    return value as T;
  }
}
