import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { FileSource } from '../model/byte-source.js';
import type { GgufModel } from '../model/gguf-model.js';
import { EXTENT_ALIGNMENT } from '../model/package-manifest.js';
import { CREATED_BY } from './created-by.js';
import { ExtentWriter } from './extent-writer.js';
import { NoSpaceError, PackError } from './pack-error.js';
import { PackJournal, type JournalState, type WrittenExtent } from './pack-journal.js';
import type { PackOptions, PackReport } from './pack.js';
import type { PackOutput } from './pack-output.js';
import { makeManifest } from './package-manifest-writer.js';
import type { PackagePlan } from './package-plan.js';

const SYNC_BYTES = 64 * 2 ** 20;

/** One run of packing: takes over what an interrupted run left, writes the rest, publishes. */
export class Packing {
  private readonly notices: string[] = [];
  private readonly totalBytes: number;
  private doneBytes = 0;

  constructor(
    private readonly model: GgufModel,
    private readonly plan: PackagePlan,
    private readonly output: PackOutput,
    private readonly options: PackOptions,
  ) {
    this.totalBytes = plan.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  async run(): Promise<PackReport> {
    const { directory } = this.output;
    const identity = this.identity();
    const found = await this.takeOver(await PackJournal.read(directory, identity));
    const visible = await this.output.visibleDigest();
    const published = visible !== null && found.finish?.manifest === visible;
    if (visible !== null && !published && !this.options.overwrite)
      throw new PackError(
        'pack/exists',
        `${directory} is a package already`,
        'Choose another output, or overwrite it (--overwrite).',
      );
    const resumedBytes = this.doneBytes;
    if (found.finish === null) await this.checkSpace();
    const journal = await PackJournal.create(directory, identity, found);
    try {
      const written = [...found.extents];
      if (found.finish === null) await this.writeExtents(journal, written);
      const manifest = makeManifest(this.plan, written);
      const bytes = Buffer.from(JSON.stringify(manifest) + '\n');
      const digest = createHash('sha256').update(bytes).digest('hex');
      let finish = found.finish;
      if (finish === null) {
        finish = { manifest: digest, stale: await this.output.staleSegments(manifest) };
        await journal.finish(finish);
      }
      if (!published) await this.output.publish(manifest.segments, bytes);
      await this.output.remove(finish.stale);
      await journal.remove();
      return {
        path: directory,
        digest,
        bytes: this.totalBytes + bytes.length,
        segments: manifest.segments,
        extents: this.plan.extents.length,
        resumedBytes,
        converted: [],
        notices: this.notices,
      };
    } finally {
      await journal.close();
    }
  }

  /**
   * Bytes still to write: extents, and about 150 bytes for each in the journal and in the manifest, with room for
   * names.
   */
  neededBytes(): number {
    return this.totalBytes - this.doneBytes + 300 * this.plan.extents.length + 8192;
  }

  /** One line that tells this packing from any other: input files and their state, and the plan with all options. */
  private identity(): string {
    const { metadata, files: _files, ...plan } = this.plan;
    const hash = createHash('sha256').update(JSON.stringify(plan)).update(metadata);
    const source = this.model.parts.map((part) => part.stamp);
    return JSON.stringify({ journal: 1, createdBy: CREATED_BY, source, plan: hash.digest('hex') });
  }

  /** What of an interrupted packing can be used; all else of it is deleted. */
  private async takeOver(state: JournalState | 'foreign' | null): Promise<JournalState> {
    if (state === 'foreign')
      this.notices.push('An interrupted packing of another input or with other options was discarded.');
    else if (state !== null) {
      if (await this.resume(state)) return state;
      this.notices.push('An interrupted packing was discarded: its files are gone or too short.');
    }
    await this.output.removePartials();
    return { extents: [], finish: null };
  }

  /** Sets the segments to what the journal knows. False when bytes are missing. */
  private async resume(state: JournalState): Promise<boolean> {
    const { extents, segments } = this.plan;
    const count = state.extents.length;
    if (count > extents.length || (state.finish !== null && count !== extents.length)) return false;
    const final = state.finish === null ? null : makeManifest(this.plan, state.extents).segments;
    const ends = segments.map(() => 0);
    for (const { segment, offset, length } of extents.slice(0, count))
      ends[segment] = offset + padded(length);
    for (const [segment, end] of ends.entries())
      if (end > 0 && (await this.output.segmentSize(segment, final?.[segment]?.file)) < end) return false;
    // Trimmed now, so that the check of free space sees the room.
    if (!final) for (const [segment, end] of ends.entries()) await this.output.trimSegment(segment, end);
    this.doneBytes = ends.reduce((sum, end) => sum + end, 0);
    return true;
  }

  private async checkSpace(): Promise<void> {
    const free = await this.output.freeBytes();
    if (this.neededBytes() > free) throw new NoSpaceError(this.output.directory, this.neededBytes(), free);
  }

  /** Writes the extents that `written` does not have, and adds them to it. */
  private async writeExtents(journal: PackJournal, written: WrittenExtent[]): Promise<void> {
    const writer = await ExtentWriter.open(this.plan.files, this.plan.metadata);
    const target: { segment: number; handle: FileHandle | null } = { segment: -1, handle: null };
    let journaled = written.length;
    let unsynced = 0;
    const sync = async (): Promise<void> => {
      await writer.drain();
      await target.handle?.datasync();
      await journal.add(written.slice(journaled));
      journaled = written.length;
      unsynced = 0;
    };
    try {
      for (const extent of this.plan.extents.slice(written.length)) {
        if (target.segment !== extent.segment) {
          await sync();
          await target.handle?.close();
          target.handle = null;
          target.handle = await this.output.openSegment(extent.segment, extent.offset === 0);
          target.segment = extent.segment;
        }
        const record = await writer.write(extent, target.handle!, this.options.signal, (bytes) => {
          this.doneBytes += bytes;
          unsynced += bytes;
          const { doneBytes, totalBytes } = this;
          this.options.onProgress?.({ doneBytes, totalBytes, what: extent.what });
        });
        written.push(record);
        if (unsynced >= (this.options.syncBytes ?? SYNC_BYTES)) await sync();
      }
      await sync();
    } catch (error) {
      // What was written need not be written again; after a failed write this fails too, and the last sync counts.
      await sync().catch(() => undefined);
      throw error;
    } finally {
      await writer.close();
      await target.handle?.close();
    }
    this.checkSource();
  }

  /** A source that changes while it is read would give a package that was never a model. */
  private checkSource(): void {
    for (const [i, path] of this.plan.files.entries()) {
      const source = new FileSource(path);
      source.close();
      if (source.stamp === this.model.parts[i]?.stamp) continue;
      throw new PackError('pack/source-changed', `${path} changed while it was packed`, 'Pack it again.');
    }
  }
}

function padded(length: number): number {
  return Math.ceil(length / EXTENT_ALIGNMENT) * EXTENT_ALIGNMENT;
}
