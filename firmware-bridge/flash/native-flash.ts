import type { Memory } from '../../kernels/memory.js';
import { FlashError } from './flash-error.js';
import { flashLibrary, type FlashLibrary } from './flash-library.js';
import type { Flash, FlashFault, FlashRead, FlashStats } from './flash.js';
import {
  checkLanes,
  checkRead,
  closedFlash,
  MAX_QUEUED,
  tooManyQueued,
  type OpenFile,
} from './read-request.js';

const READ_BYTES = 64; // sizeof(pm_flash_read)
const STATS_FIELDS = 8;
const TWO_32 = 2 ** 32;
const EAGAIN = -11;
const BACKENDS = { pread: 0, io_uring: 1 } as const;
const PRIORITIES = { demand: 0, prefetch: 1 } as const;

/** Lanes of the native library: threads with pread, or one thread with an io_uring. */
export class NativeFlash implements Flash {
  readonly #library: FlashLibrary;
  #flash: number;
  #lanes: number;
  #files: OpenFile[] = [];
  /** pm_flash_read[]: room for the largest call so far. */
  #reads = new DataView(new ArrayBuffer(32 * READ_BYTES));
  #readsAddress: number;
  readonly #stats = new DataView(new ArrayBuffer(STATS_FIELDS * 8));
  readonly #statsAddress: number;

  /**
   * Starts lanes, or returns null where that cannot be: no native library, no threads, or a kernel that refuses
   * rings. Throws FlashError when `lanes` is not 1..64.
   */
  static start(lanes: number, backend: 'pread' | 'io_uring'): NativeFlash | null {
    checkLanes(lanes);
    const library = flashLibrary();
    if (library === null) return null;
    const flash = library.create(lanes, BACKENDS[backend]);
    return flash === 0 ? null : new NativeFlash(library, flash, lanes, backend);
  }

  private constructor(
    library: FlashLibrary,
    flash: number,
    lanes: number,
    readonly backend: 'pread' | 'io_uring',
  ) {
    this.#library = library;
    this.#flash = flash;
    this.#lanes = lanes;
    this.#readsAddress = library.addressOf(this.#reads);
    this.#statsAddress = library.addressOf(this.#stats);
  }

  get lanes(): number {
    return this.#lanes;
  }

  open(path: string, direct: boolean): number {
    const flash = this.#running();
    if (path.includes('\0'))
      throw new FlashError(
        'flash/open',
        `cannot open ${JSON.stringify(path)}`,
        'A path holds no NUL character.',
      );
    const file = this.#library.open(flash, path, direct ? 1 : 0);
    if (file < 0) throw FlashError.fromOpen(file, path);
    this.#files[file] = { path, direct: this.#library.isDirect(flash, file) === 1 };
    return file;
  }

  isDirect(file: number): boolean {
    return this.#files[file]?.direct ?? false;
  }

  submit(reads: readonly FlashRead[]): void {
    const flash = this.#running();
    const count = reads.length;
    if (count > MAX_QUEUED) throw tooManyQueued(count);
    if (count * READ_BYTES > this.#reads.byteLength) this.#grow(count);
    for (let i = 0; i < count; i++) {
      const read = reads[i]!;
      checkRead(read, i, this.#files);
      this.#encode(i * READ_BYTES, read);
    }
    const result = this.#library.submit(flash, this.#readsAddress, count);
    if (result === 0) return;
    if (result === EAGAIN) throw tooManyQueued(count);
    throw new FlashError(
      'flash/request',
      result > 0
        ? `read ${result - 1} of the call is impossible`
        : `queueing ${count} reads failed: ${result}`,
      'Check its fields and the free memory.',
    );
  }

  cancel(state: Memory): boolean {
    return this.#flash !== 0 && this.#library.cancel(this.#flash, state.address) === 1;
  }

  promote(state: Memory): boolean {
    return this.#flash !== 0 && this.#library.promote(this.#flash, state.address) === 1;
  }

  /** Blocks this thread. Works after close() too: every state word has its final value then. */
  wait(state: Memory): number {
    return this.#library.wait(state.address, -1);
  }

  /** As {@link wait}, for at most `timeoutMs`; then the word is still {@link ReadState.Pending}. */
  waitAtMost(state: Memory, timeoutMs: number): number {
    return this.#library.wait(state.address, timeoutMs);
  }

  /** Drops a range of the file from the page cache; pages not yet written stay. */
  drop(file: number, offset: number, length: number): void {
    const result = this.#library.drop(this.#running(), file, offset, length);
    if (result < 0)
      throw FlashError.fromState(result, `${length} bytes at ${offset}`, this.#files[file]?.path ?? '?');
  }

  setLanes(lanes: number): void {
    checkLanes(lanes);
    this.#library.setLanes(this.#running(), lanes);
    this.#lanes = lanes;
  }

  /** After close(): the last counters. */
  stats(): FlashStats {
    if (this.#flash !== 0) this.#library.getStats(this.#flash, this.#statsAddress);
    const field = (i: number): number =>
      this.#stats.getUint32(i * 8, true) + this.#stats.getInt32(i * 8 + 4, true) * TWO_32;
    return {
      reads: field(0),
      bytes: field(1),
      failed: field(2),
      cancelled: field(3),
      corrupt: field(4),
      busyNs: field(5),
      queued: field(6),
      inFlight: field(7),
    };
  }

  inject(fault: FlashFault): void {
    const set = (kind: number, nth = 0, delayUs = 0): void =>
      this.#library.inject(this.#running(), kind, nth, delayUs);
    switch (fault.kind) {
      case 'none':
        return set(0);
      case 'eio':
        return set(1, fault.read);
      case 'short':
        return set(2, fault.read);
      case 'flip':
        return set(3, fault.read);
      case 'jitter':
        return set(4, fault.seed, fault.maxUs);
      case 'delay':
        return set(5, 0, fault.us);
      case 'fragment':
        return set(6, fault.bytes);
    }
  }

  crc32c(bytes: Memory, length: number): number {
    if (!Number.isInteger(length) || length < 0 || length > bytes.byteLength)
      throw new RangeError(`checksum of ${length} bytes in memory of ${bytes.byteLength}`);
    return this.#library.crc32c(0, bytes.address, length);
  }

  close(): void {
    if (this.#flash === 0) return;
    const flash = this.#flash;
    this.#library.getStats(flash, this.#statsAddress);
    this.#flash = 0;
    this.#library.destroy(flash);
  }

  #running(): number {
    if (this.#flash === 0) throw closedFlash();
    return this.#flash;
  }

  #grow(count: number): void {
    this.#reads = new DataView(new ArrayBuffer(2 ** Math.ceil(Math.log2(count)) * READ_BYTES));
    this.#readsAddress = this.#library.addressOf(this.#reads);
  }

  /** Writes a pm_flash_read. 64-bit fields go in two halves, which spares a BigInt each. */
  #encode(at: number, read: FlashRead): void {
    const view = this.#reads;
    const put64 = (offset: number, value: number): void => {
      view.setUint32(offset, value >>> 0, true);
      view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
    };
    put64(at, read.destination.address);
    put64(at + 8, read.offset);
    put64(at + 16, read.length);
    put64(at + 24, read.dataOffset);
    put64(at + 32, read.dataLength);
    put64(at + 40, read.state.address);
    view.setInt32(at + 48, read.file, true);
    view.setInt32(at + 52, PRIORITIES[read.priority], true);
    view.setUint32(at + 56, read.crc32c ?? 0, true);
    view.setUint32(at + 60, read.crc32c === null ? 0 : 1, true);
  }
}
