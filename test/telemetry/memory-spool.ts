import { type RecordClass, type SpoolRecord } from '../../device/spool/record.js';
import type { RecordSource } from '../../device/telemetry/transport.js';

/** A spool in memory: what the transport needs, and what a test wants to see. */
export class MemorySpool implements RecordSource {
  readonly records: SpoolRecord[] = [];
  released = 0;
  #sequence = 0;

  constructor(readonly boot: string) {}

  append(group: RecordClass, payload: Uint8Array, time: number): SpoolRecord {
    const record = { boot: this.boot, sequence: ++this.#sequence, time, class: group, payload };
    this.records.push(record);
    return record;
  }

  async read(limit: number): Promise<readonly SpoolRecord[]> {
    return this.records.slice(0, limit);
  }

  async release(record: SpoolRecord): Promise<void> {
    const at = this.records.findIndex((r) => r.boot === record.boot && r.sequence === record.sequence);
    if (at >= 0) this.released += this.records.splice(0, at + 1).length;
  }
}
