import type { ByteStrings } from './byte-strings.js';
import { CandidateHeap } from './candidate-heap.js';
import { characterBytes } from './utf8.js';

const { floor } = Math;

/**
 * Merges the characters of a text as SentencePiece does: of all neighbours that together are a token, those with the
 * best score first, the leftmost among equals.
 */
export class SpmMerger {
  /** Where each symbol begins and ends; ends of 0 mark symbols that are gone. */
  private starts = new Int32Array(64);
  private ends = new Int32Array(64);
  private next = new Int32Array(64);
  private previous = new Int32Array(64);
  private readonly candidates = new CandidateHeap();

  /** `ranks`: of each token, lower is better. `longest`: bytes of the longest token. */
  constructor(
    private readonly strings: ByteStrings,
    private readonly ranks: Int32Array,
    private readonly longest: number,
  ) {}

  /** Merges the first `length` bytes of a text and hands out the parts in order, none across a character. */
  merge(text: Uint8Array, length: number, emit: (from: number, to: number) => void): void {
    const count = this.readCharacters(text, length);
    const { ends, next, previous, candidates } = this;
    candidates.clear();
    for (let i = 0; i + 1 < count; i++) this.consider(text, i, i + 1);
    while (!candidates.empty) {
      const candidate = candidates.pop();
      const rank = floor(candidate / 4294967296);
      const at = candidate - rank * 4294967296;
      const after = next[at]!;
      // A neighbour of one of the two took it meanwhile. Another pair of the same rank here would be next anyway.
      if (ends[at] === 0 || after >= count || this.rank(text, at, after) !== rank) continue;
      ends[at] = ends[after]!;
      ends[after] = 0;
      const then = next[after]!;
      next[at] = then;
      if (then < count) {
        previous[then] = at;
        this.consider(text, at, then);
      }
      if (previous[at]! >= 0) this.consider(text, previous[at]!, at);
    }
    for (let i = 0; i < count; i = next[i]!) emit(this.starts[i]!, ends[i]!);
  }

  private readCharacters(text: Uint8Array, length: number): number {
    if (length > this.starts.length) {
      const size = Math.max(length, this.starts.length * 2);
      this.starts = new Int32Array(size);
      this.ends = new Int32Array(size);
      this.next = new Int32Array(size);
      this.previous = new Int32Array(size);
    }
    let count = 0;
    for (let at = 0; at < length; count++) {
      this.starts[count] = at;
      at += characterBytes(text[at]!);
      this.ends[count] = at;
      this.next[count] = count + 1;
      this.previous[count] = count - 1;
    }
    return count;
  }

  private consider(text: Uint8Array, left: number, right: number): void {
    const rank = this.rank(text, left, right);
    if (rank >= 0) this.candidates.push(rank, left);
  }

  private rank(text: Uint8Array, left: number, right: number): number {
    const from = this.starts[left]!;
    const length = this.ends[right]! - from;
    if (length > this.longest) return -1;
    const token = this.strings.find(text, from, length);
    return token < 0 ? -1 : this.ranks[token]!;
  }
}
