import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import type { Memory } from '../../kernels/memory.js';
import { Memory as Span } from '../../kernels/memory.js';

/** Bytes that arrive in a span, then the value of a state word: what a flash lane does. */
export interface Landing {
  readonly data: Memory;
  readonly bytes: Uint8Array;
  readonly word: Memory;
  readonly value: number;
}

/** Spans that another thread can write: native memory by its address, else a shared buffer of this process. */
export class SharedSpans {
  readonly #buffers = new Map<number, SharedArrayBuffer>();
  #next = 2 ** 40;

  /** A span over a shared buffer, for the reference, whose own memory belongs to one thread. */
  shared(bytes: number): Memory {
    const buffer = new SharedArrayBuffer(bytes);
    const address = (this.#next += 4096 * Math.ceil(bytes / 4096 + 1));
    this.#buffers.set(address, buffer);
    return new Span(address, bytes, () => new Uint8Array(buffer));
  }

  target(span: Memory): number | SharedArrayBuffer {
    return this.#buffers.get(span.address) ?? span.address;
  }
}

/**
 * A thread that lets data land, a fraction of a millisecond apart, once {@link go} is called; the calling thread may
 * be blocked in a kernel meanwhile. Words are published as flash lanes do: stored, then their futex woken.
 */
export class LandingThread {
  readonly #signal = new Int32Array(new SharedArrayBuffer(4));
  readonly #ended: Promise<void>;
  readonly #ready: Promise<void>;

  constructor(landings: readonly Landing[], spans: SharedSpans) {
    const worker = new Worker(LANDING_CODE, {
      eval: true,
      workerData: {
        koffi: createRequire(import.meta.url).resolve('koffi'),
        signal: this.#signal,
        steps: landings.map(({ data, bytes, word, value }) => ({
          data: spans.target(data),
          bytes,
          word: spans.target(word),
          value,
        })),
      },
    });
    this.#ready = new Promise((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
    this.#ended = new Promise((resolve, reject) => {
      worker.once('exit', () => resolve());
      worker.once('error', reject);
    });
    // A failure is reported by whichever promise is awaited.
    this.#ready.catch(() => undefined);
    this.#ended.catch(() => undefined);
  }

  /** Resolves when the thread runs and only waits for {@link go}. */
  ready(): Promise<void> {
    return this.#ready;
  }

  go(): void {
    Atomics.store(this.#signal, 0, 1);
    Atomics.notify(this.#signal, 0);
  }

  ended(): Promise<void> {
    return this.#ended;
  }
}

const LANDING_CODE = `
const { parentPort, workerData } = require('node:worker_threads');
const { signal, steps } = workerData;
let library = null;
function native() {
  if (library) return library;
  const libc = require(workerData.koffi).load('libc.so.6');
  return (library = {
    copy: libc.func('void *memcpy(uintptr_t to, const void *from, size_t n)'),
    call: libc.func('long syscall(long number, uintptr_t word, int operation, int count, long a, long b, long c)'),
  });
}
function put(target, bytes) {
  if (target instanceof SharedArrayBuffer) new Uint8Array(target).set(bytes);
  else native().copy(target, bytes, bytes.length);
}
const FUTEX_WAKE_PRIVATE = 129;
const futex = process.arch === 'x64' ? 202 : 98;
if (steps.some((s) => !(s.word instanceof SharedArrayBuffer))) native();
const pause = new Int32Array(new SharedArrayBuffer(4));
parentPort.postMessage('ready');
Atomics.wait(signal, 0, 0);
for (const { data, bytes, word, value } of steps) {
  Atomics.wait(pause, 0, 0, 0.4);
  put(data, bytes);
  if (word instanceof SharedArrayBuffer) Atomics.store(new Int32Array(word), 0, value);
  else {
    native().copy(word, Int32Array.of(value), 4);
    native().call(futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0);
  }
}
`;
