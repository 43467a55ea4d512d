import { createRequire, syncBuiltinESMExports } from 'node:module';
import { writeSync } from 'node:fs';

/**
 * Packs in a process of its own that kills itself (SIGKILL) at an operation on the output: argv: source, output,
 * overwrite, number of the operation, and whether half of a write is done first. Operation -1 never comes. Prints how many
 * operations there were, or the error as JSON.
 */
const [source, output, overwrite, killAt, half] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];

type Operation = (this: unknown, ...args: unknown[]) => Promise<unknown>;
let operations = 0;

/** Counts a changing operation, and dies before (or in the middle of) the one that was asked for. */
function counted(original: Operation): Operation {
  return async function (this: unknown, ...args) {
    if (operations++ === Number(killAt)) {
      // Data come first (file.write, file.writeFile) or after the path (writeFile).
      const index = args.findIndex(
        (argument, i) => typeof argument === 'object' || (i === 1 && args.length === 3),
      );
      const data = args[index] as Uint8Array | undefined;
      if (half === 'half' && original.name.startsWith('write') && data && data.length > 1) {
        args[index] = data.slice(0, data.length >> 1);
        if (original.name === 'write') args[2] = data.length >> 1;
        await original.apply(this, args);
      }
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => undefined);
    }
    return original.apply(this, args);
  };
}

const fs = createRequire(import.meta.url)('node:fs/promises') as Record<string, Operation>;
for (const name of ['mkdir', 'open', 'rename', 'rm', 'rmdir', 'truncate', 'unlink', 'writeFile'])
  fs[name] = counted(fs[name]!);
const probe = (await fs['open']!(process.execPath, 'r')) as { close(): Promise<void> };
const methods = Object.getPrototypeOf(probe) as Record<string, Operation>;
await probe.close();
for (const name of ['write', 'writeFile', 'sync', 'datasync']) methods[name] = counted(methods[name]!);
syncBuiltinESMExports();
operations = 0;

const { pack } = await import('../../sdk/pack/pack.js');
try {
  await pack(source, output, { syncBytes: 32 * 1024, overwrite: overwrite === 'overwrite' });
  writeSync(1, JSON.stringify({ operations }));
} catch (error) {
  writeSync(1, JSON.stringify({ ...(error as object), message: (error as Error).message }));
}
