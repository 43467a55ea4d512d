/**
 * A span of engine memory: weights, caches, activations, expert slots.
 *
 * Native kernels use {@link address}; the TypeScript reference uses the typed-array views. Views are made on
 * first use, so a native engine never maps its weights into JavaScript.
 */
export class Memory {
  #bytes: Uint8Array | undefined;
  #f32: Float32Array | undefined;
  #i32: Int32Array | undefined;

  /**
   * @param address machine address (0-based synthetic address for the reference kernels)
   * @param byteLength size in bytes
   * @param view makes the byte view on demand
   */
  constructor(
    readonly address: number,
    readonly byteLength: number,
    private readonly view: () => Uint8Array,
  ) {}

  get bytes(): Uint8Array {
    return (this.#bytes ??= this.view());
  }

  /** The span as float32; its offset must be a multiple of 4. */
  get f32(): Float32Array {
    const b = this.bytes;
    return (this.#f32 ??= new Float32Array(b.buffer, b.byteOffset, b.byteLength >> 2));
  }

  /** The span as int32; its offset must be a multiple of 4. */
  get i32(): Int32Array {
    const b = this.bytes;
    return (this.#i32 ??= new Int32Array(b.buffer, b.byteOffset, b.byteLength >> 2));
  }

  /** A span inside this one. Throws RangeError outside of it. */
  slice(byteOffset: number, byteLength: number = this.byteLength - byteOffset): Memory {
    if (byteOffset < 0 || byteLength < 0 || byteOffset + byteLength > this.byteLength)
      throw new RangeError(`slice ${byteOffset}+${byteLength} lies outside a memory span of ${this.byteLength} bytes`);
    return new Memory(this.address + byteOffset, byteLength, () =>
      this.bytes.subarray(byteOffset, byteOffset + byteLength),
    );
  }
}
