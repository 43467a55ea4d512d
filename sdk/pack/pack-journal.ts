import { open, readFile, rename, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

const ExtentLine = v.strictTuple([v.string(), v.array(v.number())]);
const FinishLine = v.object({ manifest: v.string(), stale: v.array(v.string()) });

export const JOURNAL_FILE = 'packing.journal';

/** What is known of an extent once it is written. */
export interface WrittenExtent {
  readonly sha256: string;
  readonly crc32c: readonly number[];
}

/** The last line: everything is written, only names have to change. */
export interface FinishRecord {
  /** SHA-256 of the manifest. */
  readonly manifest: string;
  /** Segments of the package before, which nothing refers to afterwards. */
  readonly stale: readonly string[];
}

/** What a journal of the same packing says; `null` parts are not there. */
export interface JournalState {
  readonly extents: readonly WrittenExtent[];
  readonly finish: FinishRecord | null;
}

/**
 * The journal of a packing: a line that identifies input and options, then a line per extent that is on the disk for
 * certain (the data are synced before their line is written), then the finish record. A line that a crash tore is
 * dropped. The journal is no part of the package.
 */
export class PackJournal {
  private constructor(
    private readonly handle: FileHandle,
    private readonly path: string,
  ) {}

  /** Reads the journal in `directory`: its state, "foreign" when it belongs to another packing, null when none. */
  static async read(directory: string, identity: string): Promise<JournalState | 'foreign' | null> {
    let text: string;
    try {
      text = await readFile(join(directory, JOURNAL_FILE), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    const lines = text.split('\n').slice(0, -1); // what follows the last newline is torn
    if (lines.length === 0) return null;
    if (lines[0] !== identity) return 'foreign';
    const extents: WrittenExtent[] = [];
    for (const line of lines.slice(1)) {
      const record = parse(line);
      if (record === null) break;
      if ('manifest' in record) return { extents, finish: record };
      extents.push(record);
    }
    return { extents, finish: null };
  }

  /** Starts the journal over with what is known. Keeping a torn tail would hide the lines after it. */
  static async create(
    directory: string,
    identity: string,
    { extents, finish }: JournalState,
  ): Promise<PackJournal> {
    const path = join(directory, JOURNAL_FILE);
    const end = finish ? [JSON.stringify(finish)] : [];
    const beginning = [identity, ...extents.map(encode), ...end].join('\n') + '\n';
    // Not in place: a crash in between must not lose what the journal had.
    const fresh = await open(`${path}.partial`, 'w');
    try {
      await fresh.writeFile(beginning);
      await fresh.sync();
      await rename(`${path}.partial`, path);
      return new PackJournal(fresh, path);
    } catch (error) {
      await fresh.close();
      throw error;
    }
  }

  /** Appends extents whose data were synced. */
  async add(extents: readonly WrittenExtent[]): Promise<void> {
    if (extents.length > 0) await this.append(extents.map((extent) => encode(extent) + '\n').join(''));
  }

  async finish(record: FinishRecord): Promise<void> {
    await this.append(JSON.stringify(record) + '\n');
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  async remove(): Promise<void> {
    await unlink(this.path);
  }

  private async append(text: string): Promise<void> {
    await this.handle.writeFile(text); // continues where the last write ended
    await this.handle.datasync();
  }
}

function encode(extent: WrittenExtent): string {
  return JSON.stringify([extent.sha256, extent.crc32c]);
}

function parse(line: string): WrittenExtent | FinishRecord | null {
  try {
    const json: unknown = JSON.parse(line);
    const extent = v.safeParse(ExtentLine, json);
    if (extent.success) return { sha256: extent.output[0], crc32c: extent.output[1] };
    const finish = v.safeParse(FinishLine, json);
    return finish.success ? finish.output : null;
  } catch {
    return null;
  }
}
