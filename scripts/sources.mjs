/** What the bundles are made from, as one hash. A hash, not times: it sees deleted files and files put back. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Written beside the bundles: the hash of the sources they were made from. */
export const STAMP = join(root, 'dist', '.sources');

const SOURCES = ['sdk', 'device', 'kernels', 'firmware-bridge', 'package-lock.json', 'scripts/build.mjs'];

export function hashSources() {
  const hash = createHash('sha256');
  const add = (path) => {
    const whole = join(root, path);
    if (/\.(ts|mjs|json)$/.test(path)) {
      if (existsSync(whole)) hash.update(`${path}\0`).update(readFileSync(whole)).update('\0');
    } else if (existsSync(whole))
      for (const entry of readdirSync(whole, { withFileTypes: true }).sort((a, b) =>
        a.name < b.name ? -1 : 1,
      ))
        if (entry.isDirectory() || entry.name.endsWith('.ts')) add(`${path}/${entry.name}`);
  };
  SOURCES.forEach(add);
  return hash.digest('hex');
}
