import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.js';

const SCRIPTS_GOAL_KB = 500;
const LIBRARY_GOAL_KB = 1000;

/** Bytes that an installation loads. */
export function sizes(bench: Bench): void {
  const { root } = bench.options;
  const dist = join(root, 'dist');
  const all = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  const kilobytes = (names: Iterable<string>) =>
    [...names].reduce((sum, name) => sum + statSync(join(dist, name)).size, 0) / 1000;
  const engine = reachable(dist, ['index.js', 'engine-worker.js']);
  bench.add({
    figure: 'size of the runtime bundle',
    unit: 'kB',
    ours: [kilobytes(engine)],
    goal: SCRIPTS_GOAL_KB,
    better: 'lower',
    note: `what index.js and engine-worker.js import; all of dist ${kilobytes(all).toFixed(0)} kB`,
  });
  const library = join(root, 'build', 'libpocketmoe.so');
  if (!existsSync(library)) return bench.say('The native library is not built; its size is left out.');
  bench.add({
    figure: 'size of the native library',
    unit: 'kB',
    ours: [statSync(library).size / 1000],
    goal: LIBRARY_GOAL_KB,
    better: 'lower',
    note: 'build/libpocketmoe.so; koffi, which loads it, is a dependency of its own',
  });
}

/** The bundles that `entries` import, themselves included. */
function reachable(dist: string, entries: readonly string[]): Set<string> {
  const found = new Set<string>(entries);
  for (const name of found) {
    const text = readFileSync(join(dist, name), 'utf8');
    for (const [, path] of text.matchAll(/(?:from|import)\s*\(?"(\.[^"]+\.js)"/g))
      found.add(join(name, '..', path!));
  }
  return found;
}
