#!/usr/bin/env node
import { runProgram } from './program.js';

/** Status after Ctrl-C: 128 + SIGINT, as shells expect. */
const INTERRUPTED = 130;

const abort = new AbortController();
let status: number | null = null;

for (const [signal, code] of [
  ['SIGINT', INTERRUPTED],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => {
    if (abort.signal.aborted) process.exit(code); // the second time: at once
    status = code;
    abort.abort();
  });

// Nobody reads any more (`pocketmoe … | head`): stop quietly.
let unread = false;
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    unread = true;
    abort.abort(new Error('nobody reads the output any more'));
  });

const result = await runProgram(process.argv.slice(2), abort.signal);
// What was written leaves before the process does.
if (!unread)
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) => new Promise<void>((done) => void stream.write('', () => done())),
    ),
  );
process.exit(unread ? 0 : (status ?? result));
