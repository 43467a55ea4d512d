import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Takes a file, or the files of a folder, out of the page cache. What a process has mapped stays. */
export function dropFromPageCache(path: string): void {
  const files = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
  // pages that still wait to be written would stay: fdatasync first
  for (const file of files)
    execFileSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
}
