import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Per thread; far larger than its share of any cache. */
const BYTES = 256 << 20;
const SWEEPS = 6;

/**
 * Searches a buffer for a byte that it does not hold: the C library's memchr does nothing but read. All threads begin
 * together; the last word is the time of the sweeps.
 */
const READER = `
const { parentPort, workerData } = require('node:worker_threads');
const { gate, threads, bytes, sweeps } = workerData;
const buffer = Buffer.alloc(bytes, 1);
buffer.indexOf(2);
Atomics.add(gate, 0, 1);
Atomics.notify(gate, 0);
for (let seen; (seen = Atomics.load(gate, 0)) < threads; ) Atomics.wait(gate, 0, seen);
const begun = performance.now();
for (let i = 0; i < sweeps; i++) if (buffer.indexOf(2) !== -1) throw new Error('found');
parentPort.postMessage(performance.now() - begun);
`;

/** Bytes per second that `threads` threads together read from memory. */
export async function readMemory(threads: number): Promise<number> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { gate, threads, bytes: BYTES, sweeps: SWEEPS };
  const workers = Array.from({ length: threads }, () => new Worker(READER, { eval: true, workerData }));
  const times = await Promise.all(
    workers.map(async (worker) => ((await once(worker, 'message')) as [number])[0]),
  );
  await Promise.all(workers.map((worker) => worker.terminate()));
  return (threads * BYTES * SWEEPS * 1000) / Math.max(...times);
}
