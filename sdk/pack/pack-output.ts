import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, rmdir, stat, statfs, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MANIFEST_FILE, type Manifest } from '../model/package-manifest.js';
import { PackError } from './pack-error.js';
import { JOURNAL_FILE } from './pack-journal.js';
import { LOCK_FILE } from './pack-lock.js';

/** Ends the names of files that are still being written. */
const PARTIAL = '.partial';

/** The directory that is packed to: a new one, one with an interrupted packing, or a package to be replaced. */
export class PackOutput {
  constructor(readonly directory: string) {}

  /** Makes the directory. Throws PackError (pack/exists) for one that is not ours. */
  async prepare(): Promise<void> {
    const file = await stat(this.directory).catch(() => null);
    if (file && !file.isDirectory())
      throw new PackError('pack/exists', `${this.directory} exists and is a file`, 'Choose another output.');
    await makeDirectory(this.directory);
    const entries = await readdir(this.directory);
    if (
      entries.length > 0 &&
      ![MANIFEST_FILE, JOURNAL_FILE, LOCK_FILE].some((name) => entries.includes(name))
    )
      throw new PackError(
        'pack/exists',
        `${this.directory} exists and is no package`,
        'Choose a directory that does not exist, such as NAME.pocketmoe.',
      );
  }

  /** Removes the directory if nothing is in it. */
  async removeIfEmpty(): Promise<void> {
    await rmdir(this.directory).catch(() => undefined);
  }

  /** Bytes that may still be written there. */
  async freeBytes(): Promise<number> {
    for (let path = this.directory; ; path = dirname(path)) {
      const found = await statfs(path).catch(() => null); // it may not exist yet, its parent does
      if (found) return found.bavail * found.bsize;
      if (path === dirname(path)) return 0;
    }
  }

  /** SHA-256 of the manifest that is visible now, or null. */
  async visibleDigest(): Promise<string | null> {
    try {
      const bytes = await readFile(join(this.directory, MANIFEST_FILE));
      return createHash('sha256').update(bytes).digest('hex');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Segments that only the visible package uses, as far as its manifest can be read. */
  async staleSegments(next: Manifest): Promise<string[]> {
    const kept = new Set(next.segments.map((segment) => segment.file));
    try {
      const old = JSON.parse(
        await readFile(join(this.directory, MANIFEST_FILE), 'utf8'),
      ) as Partial<Manifest>;
      const names = (old.segments ?? []).map((segment) => segment.file);
      return names.filter((name) => /^[A-Za-z0-9][A-Za-z0-9_-]*\.seg$/.test(name) && !kept.has(name));
    } catch {
      return [];
    }
  }

  /** Bytes of a segment, under its final name if given or its partial one; -1 when it is not there. */
  async segmentSize(segment: number, file?: string): Promise<number> {
    const partial = await sizeOf(this.partial(segment));
    return file === undefined || partial >= 0 ? partial : sizeOf(join(this.directory, file));
  }

  /** Cuts a segment that an interrupted packing left to the bytes that are known. */
  async trimSegment(segment: number, bytes: number): Promise<void> {
    if (bytes === 0) await rm(this.partial(segment), { force: true });
    else await truncate(this.partial(segment), bytes);
  }

  /** Opens a segment for writing: a new one, or one to be continued. */
  async openSegment(segment: number, isNew: boolean): Promise<FileHandle> {
    return open(this.partial(segment), isNew ? 'w' : 'r+');
  }

  async removePartials(): Promise<void> {
    for (const name of await readdir(this.directory))
      if (name.endsWith(PARTIAL)) await rm(join(this.directory, name));
  }

  /** Gives segments and manifest their names. Before the last rename nothing of it is visible, after it everything. */
  async publish(segments: Manifest['segments'], manifest: Uint8Array): Promise<void> {
    for (const [segment, { file }] of segments.entries())
      if ((await sizeOf(this.partial(segment))) >= 0)
        // Else an interrupted publication renamed it already.
        await rename(this.partial(segment), join(this.directory, file));
    const partial = join(this.directory, MANIFEST_FILE + PARTIAL);
    const handle = await open(partial, 'w');
    try {
      await handle.writeFile(manifest);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await this.sync();
    await rename(partial, join(this.directory, MANIFEST_FILE));
    await this.sync();
  }

  async remove(files: readonly string[]): Promise<void> {
    for (const file of files) await rm(join(this.directory, file), { force: true });
  }

  private partial(segment: number): string {
    return join(this.directory, `segment-${segment}${PARTIAL}`);
  }

  /** Makes renames survive power loss. */
  private async sync(): Promise<void> {
    const handle = await open(this.directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** With its parents. Not mkdir's own `recursive`: Node 20's never returns where none can be made, as under /proc. */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path);
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
    throw error;
  }
}
