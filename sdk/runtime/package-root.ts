import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the installed package: the first above this file whose package.json is PocketMoE's. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, 'package.json');
    if (
      existsSync(manifest) &&
      (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }).name === 'pocketmoe'
    )
      return folder;
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the folder of the pocketmoe package was not found');
    folder = parent;
  }
}
