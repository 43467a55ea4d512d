import type { NativeLibrary } from './library.js';

/**
 * Native memory in which structs and lists are put together for a call. It grows; growing moves it and loses what it
 * held, so a call asks for its space first, then writes.
 */
export class Descriptor {
  #address = 0;
  #bytes = 0;
  u32 = new Uint32Array(0);
  i32 = new Int32Array(0);
  f32 = new Float32Array(0);

  constructor(private readonly library: NativeLibrary) {}

  get address(): number {
    return this.#address;
  }

  get byteLength(): number {
    return this.#bytes;
  }

  /** Makes sure there are `bytes`. Throws RangeError when there is no memory. */
  reserve(bytes: number): void {
    if (bytes <= this.#bytes) return;
    this.release();
    const size = Math.ceil((bytes * 1.5) / 4096) * 4096;
    this.#address = this.library.alloc(size);
    if (this.#address === 0) throw new RangeError(`there is no memory for ${size} bytes`);
    this.#bytes = size;
    const buffer = this.library.view(this.#address, size);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f32 = new Float32Array(buffer);
  }

  /** Writes a 64-bit number (an address or a count below 2^53) at 32-bit index `at`. */
  put64(at: number, value: number): void {
    this.u32[at] = value % 2 ** 32;
    this.u32[at + 1] = value / 2 ** 32;
  }

  get64(at: number): number {
    return this.u32[at]! + this.u32[at + 1]! * 2 ** 32;
  }

  release(): void {
    if (this.#address === 0) return;
    this.u32 = new Uint32Array(0);
    this.i32 = new Int32Array(0);
    this.f32 = new Float32Array(0);
    this.library.release(this.#address, this.#bytes);
    this.#address = this.#bytes = 0;
  }
}
