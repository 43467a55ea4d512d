import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Memory } from '../../kernels/memory.js';
import { crc32c } from './crc32c.js';
import { FlashError } from './flash-error.js';
import { ReadState, type Flash, type FlashFault, type FlashRead, type FlashStats } from './flash.js';
import {
  checkLanes,
  checkRead,
  closedFlash,
  MAX_QUEUED,
  tooManyQueued,
  type OpenFile,
} from './read-request.js';

/** node:fs reads at most this much at once; a multiple of 4 KiB. */
const LARGEST_TRANSFER = 0x7ffff000;
const EINTR = -4;
const EIO = -5;
const EINVAL = -22;
const EISDIR = -21;

/**
 * Flash without native code: every read happens inside submit(), buffered, one after another. Same states and errors
 * as the lanes; nothing is ever queued, so nothing can be cancelled or promoted.
 */
export class FallbackFlash implements Flash {
  readonly backend = 'fallback';
  #lanes: number;
  #files: (OpenFile & { readonly fd: number })[] = [];
  #fault: FlashFault = { kind: 'none' };
  #begun = 0;
  #closed = false;
  readonly #stats: FlashStats = {
    reads: 0,
    bytes: 0,
    failed: 0,
    cancelled: 0,
    corrupt: 0,
    busyNs: 0,
    queued: 0,
    inFlight: 0,
  };

  /** `lanes` is only remembered. Throws FlashError unless it is 1..64. */
  constructor(lanes: number) {
    checkLanes(lanes);
    this.#lanes = lanes;
  }

  get lanes(): number {
    return this.#lanes;
  }

  /** Always buffered: `direct` is not tried. */
  open(path: string, _direct: boolean): number {
    if (this.#closed) throw closedFlash();
    let fd: number;
    try {
      // O_NONBLOCK: opening a pipe by mistake must not hang. It changes nothing for files.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw FlashError.fromOpen(errnoOf(error), path);
    }
    const info = fstatSync(fd);
    if (!info.isFile() && !info.isBlockDevice()) {
      closeSync(fd);
      throw FlashError.fromOpen(info.isDirectory() ? EISDIR : EINVAL, path);
    }
    return this.#files.push({ path, fd, direct: false }) - 1;
  }

  isDirect(_file: number): boolean {
    return false;
  }

  submit(reads: readonly FlashRead[]): void {
    if (this.#closed) throw closedFlash();
    if (reads.length > MAX_QUEUED) throw tooManyQueued(reads.length);
    reads.forEach((read, i) => checkRead(read, i, this.#files));
    for (const read of reads) read.state.i32[0] = ReadState.Pending;
    // As the lanes do: all demand reads before any prefetch.
    for (const priority of ['demand', 'prefetch'])
      for (const read of reads) if (read.priority === priority) this.#perform(read);
  }

  cancel(_state: Memory): boolean {
    return false;
  }

  promote(_state: Memory): boolean {
    return false;
  }

  wait(state: Memory): number {
    const value = state.i32[0]!;
    if (value === ReadState.Pending)
      throw new FlashError(
        'flash/request',
        'waiting for a read that was never submitted',
        'Submit it first.',
      );
    return value;
  }

  setLanes(lanes: number): void {
    if (this.#closed) throw closedFlash();
    checkLanes(lanes);
    this.#lanes = lanes;
  }

  stats(): FlashStats {
    return { ...this.#stats };
  }

  inject(fault: FlashFault): void {
    if (this.#closed) throw closedFlash();
    this.#fault = fault;
  }

  crc32c(bytes: Memory, length: number): number {
    if (!Number.isInteger(length) || length < 0 || length > bytes.byteLength)
      throw new RangeError(`checksum of ${length} bytes in memory of ${bytes.byteLength}`);
    return crc32c(bytes.bytes.subarray(0, length));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { fd } of this.#files) closeSync(fd);
  }

  #perform(read: FlashRead): void {
    const began = process.hrtime.bigint();
    const number = this.#begun++;
    const stats = this.#stats;
    this.#sleep();
    const [done, error] = this.#hits('eio', number) ? [0, EIO] : this.#transfer(read);
    const verdict = this.#verdict(read, number, done, error);
    stats.reads++;
    stats.bytes += done;
    if (verdict < 0) stats.failed++;
    if (verdict === ReadState.Corrupt) stats.corrupt++;
    stats.busyNs += Number(process.hrtime.bigint() - began);
    read.state.i32[0] = verdict;
  }

  /** Bytes that arrived, and -errno or 0. */
  #transfer(read: FlashRead): [number, number] {
    const most = this.#fault.kind === 'fragment' ? Math.max(1, this.#fault.bytes) : LARGEST_TRANSFER;
    const { fd } = this.#files[read.file]!;
    const bytes = read.destination.bytes;
    let done = 0;
    while (done < read.length) {
      try {
        const got = readSync(fd, bytes, done, Math.min(read.length - done, most), read.offset + done);
        if (got === 0) break;
        done += got;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno !== EINTR) return [done, errno];
      }
    }
    return [done, 0];
  }

  #verdict(read: FlashRead, number: number, done: number, error: number): number {
    if (error !== 0) return error;
    const end = read.dataOffset + read.dataLength;
    if (done < end || this.#hits('short', number)) return ReadState.Short;
    const data = read.destination.bytes.subarray(read.dataOffset, end);
    if (this.#hits('flip', number)) data[number % data.length]! ^= 1 << (number & 7);
    return read.crc32c !== null && crc32c(data) !== read.crc32c ? ReadState.Corrupt : ReadState.Landed;
  }

  #hits(kind: 'eio' | 'short' | 'flip', number: number): boolean {
    return this.#fault.kind === kind && this.#fault.read === number;
  }

  #sleep(): void {
    const fault = this.#fault;
    // Jitter takes its mean here: reads come one after another, so their order cannot change.
    const us = fault.kind === 'delay' ? fault.us : fault.kind === 'jitter' ? fault.maxUs / 2 : 0;
    if (us > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, us / 1000);
  }
}

/** -errno of an error of node:fs. */
function errnoOf(error: unknown): number {
  const errno = (error as NodeJS.ErrnoException).errno;
  return typeof errno === 'number' ? errno : EINVAL;
}
