// Under jest a global such as Math is looked up through an interceptor, which costs more than the arithmetic.
const { imul } = Math;
const SQRT_3 = Math.sqrt(3);

/** Seeded random numbers (xoshiro128**, seeded through a string hash), so that equal seeds give equal files. */
export class Random {
  private readonly state = new Int32Array(4);
  private readonly pool = new Uint32Array(1024);
  private used = this.pool.length;

  constructor(seed: string | number) {
    let hash = 0x811c9dc5;
    for (const char of String(seed)) hash = imul(hash ^ char.codePointAt(0)!, 0x01000193);
    for (let i = 0; i < 4; i++) {
      hash = (hash + 0x9e3779b9) | 0;
      let z = imul(hash ^ (hash >>> 16), 0x85ebca6b);
      z = imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.state[i] = z ^ (z >>> 16);
    }
  }

  /** 0 … 2³² − 1 */
  uint32(): number {
    if (this.used === this.pool.length) {
      this.fill(this.pool);
      this.used = 0;
    }
    return this.pool[this.used++]!;
  }

  /** Fills with uint32 numbers; the state stays in locals, which is what makes gigabytes bearable. */
  fill(numbers: Uint32Array): void {
    let [a, b, c, d] = this.state as unknown as [number, number, number, number];
    for (let i = 0; i < numbers.length; i++) {
      const m = imul(b, 5);
      numbers[i] = imul((m << 7) | (m >>> 25), 9);
      const t = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= t;
      d = (d << 11) | (d >>> 21);
    }
    this.state.set([a, b, c, d]);
  }

  /** 0 ≤ x < 1 */
  uniform(): number {
    return this.uint32() / 4294967296;
  }

  /** A whole number, 0 ≤ n < limit. */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /** Mean 0, deviation 1, within ±3.5: a sum of four uniform numbers is near enough to a Gaussian for weights. */
  normal(): number {
    const a = this.uint32();
    const b = this.uint32();
    const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
    return (sum / 65536 - 2) * SQRT_3;
  }
}
