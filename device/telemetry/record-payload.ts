import {
  checkEvent,
  type Schema,
  type SeriesClass,
  type TelemetryEvent,
  TelemetryError,
  unpackValue,
  type Value,
} from '../../sdk/fleet/index.js';
import type { SpoolRecord } from '../spool/record.js';
import type { Registry } from './registry.js';
import type { SchemaStore } from './schema-store.js';

/** An event as the payload of a spool record. Throws TelemetryError (telemetry/event) when it is too large or not plain. */
export function encodeEvent(event: TelemetryEvent): Uint8Array {
  return Buffer.from(JSON.stringify(checkEvent(event)));
}

/**
 * A sample as the payload of a spool record. Its schema is stored first: the record may outlive the process, and means
 * nothing without.
 */
export async function takeSample(
  registry: Registry,
  schemas: SchemaStore,
  group: SeriesClass,
): Promise<Uint8Array> {
  let { schema } = registry;
  await schemas.put(schema);
  // a series may have been added meanwhile
  while (registry.schema !== schema) await schemas.put((schema = registry.schema));
  return registry.sample(group);
}

export type RecordContent =
  | {
      readonly of: 'values';
      readonly schema: Schema;
      readonly packed: readonly unknown[];
      readonly values: readonly Value[];
    }
  | { readonly of: 'event'; readonly event: TelemetryEvent };

const damaged = (what: string) =>
  new TelemetryError('telemetry/record', `the record ${what}`, 'It is counted as undeliverable.');

/** Id of the schema a record's values belong to, or null for events. Throws TelemetryError (telemetry/record). */
export function schemaIdOf({ payload }: SpoolRecord): string | null {
  const head = Buffer.from(payload.buffer, payload.byteOffset, Math.min(payload.byteLength, 12)).toString(
    'latin1',
  );
  const last = payload.at(-1);
  if (head[0] === '{' && last === 0x7d) return null;
  const id = /^\["([0-9a-f]{8})",$/.exec(head)?.[1];
  if (id === undefined || last !== 0x5d) throw damaged('is neither values nor an event');
  return id;
}

/** Reads a record. Throws TelemetryError when it is damaged or its schema is not known any more. */
export async function readRecord(record: SpoolRecord, schemas: SchemaStore): Promise<RecordContent> {
  const id = schemaIdOf(record);
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(record.payload).toString('utf8'));
  } catch {
    throw damaged('is not JSON');
  }
  if (id === null) return { of: 'event', event: checkEvent(content) };
  const schema = await schemas.get(id);
  if (!schema) throw damaged(`belongs to schema ${id}, which is not known any more`);
  const list = (content as unknown[])[1];
  const series = schema.series.filter((s) => s.class === record.class);
  if (!Array.isArray(list) || list.length !== series.length) throw damaged('does not fit its schema');
  return { of: 'values', schema, packed: list, values: series.map((s, i) => unpackValue(s, list[i])) };
}
