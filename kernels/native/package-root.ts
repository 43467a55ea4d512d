import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the pocketmoe package that this file belongs to, whether it runs as source or from a bundle; or null. */
export function packageRoot(): string | null {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (isPackage(join(folder, 'package.json'))) return folder;
    if (dirname(folder) === folder) return null;
  }
}

function isPackage(manifest: string): boolean {
  if (!existsSync(manifest)) return false;
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'pocketmoe';
}
