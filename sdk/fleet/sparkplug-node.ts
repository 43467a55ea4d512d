import { checkEvent } from './event.js';
import type { FleetMessage, FleetRecordClass, SeriesValue } from './fleet-message.js';
import {
  checkSeries,
  type HistogramValue,
  type Schema,
  schemaOf,
  type Series,
  type Value,
} from './series.js';
import {
  BDSEQ,
  COUNTS_PROPERTY,
  INFO_PROPERTY,
  RECORD_BOOT,
  RECORD_CLASS,
  RECORD_EVENT,
  RECORD_SEQUENCE,
  SERIES_PROPERTY,
} from './sparkplug-names.js';
import { decodeSparkplug, type SparkplugMetric, type SparkplugPayload } from './sparkplug-payload.js';
import { TelemetryError } from './telemetry-error.js';

const CLASSES: readonly string[] = ['debug', 'sample', 'event', 'alarm', 'update'];

const broken = (what: string) =>
  new TelemetryError(
    'telemetry/sparkplug',
    `the Sparkplug message ${what}`,
    'See docs/telemetry.md for Sparkplug.',
  );

/** What an alias stands for. */
type Meaning =
  | { readonly of: 'series' | 'counts'; readonly place: number }
  | { readonly of: 'record'; readonly name: string };

/** A node between its births: what its aliases mean, and what its metrics were last. */
interface Session {
  readonly schema: Schema;
  readonly meanings: ReadonlyMap<number, Meaning>;
  readonly live: Value[];
  boot: string;
  seq: number;
}

/** Follows one Sparkplug edge node. */
export class SparkplugNode {
  #session: Session | null = null;

  /** See Decoder.decode. */
  decode(device: string, kind: 'NBIRTH' | 'NDATA' | 'NDEATH', bytes: Uint8Array): FleetMessage {
    const payload = decodeSparkplug(bytes);
    if (kind === 'NBIRTH') return this.#birth(device, payload);
    if (kind === 'NDATA') return this.#data(device, payload);
    const { value } = named(payload, BDSEQ);
    return { type: 'death', device, boot: null, connection: Number(value), reason: 'lost' };
  }

  #birth(device: string, payload: SparkplugPayload): FleetMessage {
    const { timestamp, seq } = payload;
    if (timestamp === undefined || seq === undefined || seq > 255)
      throw broken('is a birth without time or seq');
    const meanings = new Map<number, Meaning>();
    const series: unknown[] = [];
    const first: SparkplugMetric[] = [];
    const counts: [number, SparkplugMetric][] = [];
    const info: Record<string, string> = {};
    for (const metric of payload.metrics) {
      const { alias, name = '', properties = {} } = metric;
      if (alias !== undefined && meanings.has(alias)) throw broken(`gives alias ${alias} twice`);
      const json = properties[SERIES_PROPERTY];
      if (json !== undefined) {
        if (alias !== undefined) meanings.set(alias, { of: 'series', place: series.length });
        series.push(parseJson(json));
        first.push(metric);
      } else if (properties[COUNTS_PROPERTY] !== undefined) {
        // follows the metric of its series
        if (alias !== undefined) meanings.set(alias, { of: 'counts', place: series.length - 1 });
        counts.push([series.length - 1, metric]);
      } else if (properties[INFO_PROPERTY] !== undefined && typeof metric.value === 'string') {
        if (Object.keys(info).length < 64)
          info[properties[INFO_PROPERTY].slice(0, 128)] = metric.value.slice(0, 512);
      } else if (alias !== undefined) meanings.set(alias, { of: 'record', name });
    }
    const schema = schemaOf(checkSeries(series));
    const live: Value[] = schema.series.map((s, place) => merge(s, null, 'series', first[place]!.value));
    for (const [place, metric] of counts) {
      const s = schema.series[place];
      if (!s) throw broken('has counts of no series');
      live[place] = merge(s, live[place]!, 'counts', metric.value);
    }
    const boot = named(payload, RECORD_BOOT).value;
    if (typeof boot !== 'string') throw broken('is a birth without its boot');
    this.#session = { schema, meanings, live, boot, seq };
    const connection = Number(named(payload, BDSEQ).value);
    return { type: 'birth', device, boot, connection, time: timestamp, schema, info };
  }

  #data(device: string, payload: SparkplugPayload): FleetMessage {
    const session = this.#session;
    if (!session)
      throw new TelemetryError(
        'telemetry/no-birth',
        `${device} sent data whose birth was not seen`,
        'Send it a rebirth request.',
      );
    if (payload.seq !== (session.seq + 1) % 256) {
      this.#session = null;
      throw new TelemetryError(
        'telemetry/gap',
        `${device} sent seq ${payload.seq} after ${session.seq}`,
        'Messages were lost: send it a rebirth request.',
      );
    }
    session.seq = payload.seq;
    const historical = payload.metrics.some((m) => m.historical);
    const { series } = session.schema;
    // Records from before the birth stand alone; later ones say what changed.
    const values: Value[] = historical ? series.map(() => null) : session.live;
    let { boot } = session;
    let sequence = NaN;
    let group = '';
    let event: unknown;
    let time: number | undefined;
    for (const { alias, value, timestamp } of payload.metrics) {
      const meaning = alias === undefined ? undefined : session.meanings.get(alias);
      if (!meaning) throw broken('has a metric that its birth does not list');
      time ??= timestamp;
      if (meaning.of !== 'record') {
        const { place } = meaning;
        values[place] = merge(series[place]!, values[place]!, meaning.of, value);
      } else if (meaning.name === RECORD_BOOT) boot = String(value);
      else if (meaning.name === RECORD_SEQUENCE) sequence = Number(value);
      else if (meaning.name === RECORD_CLASS) group = String(value);
      else if (meaning.name === RECORD_EVENT) event = parseJson(String(value));
    }
    if (!Number.isSafeInteger(sequence) || sequence < 1 || boot.length > 128) throw broken('names no record');
    if (time === undefined || !CLASSES.includes(group)) throw broken('has no time or class');
    const identity = { device, boot, sequence, time, class: group as FleetRecordClass, historical };
    if (event !== undefined) return { type: 'event', ...identity, event: checkEvent(event) };
    const found: SeriesValue[] = [];
    series.forEach((s, i) => {
      if (s.class === group && (!historical || values[i] !== null))
        found.push({ series: s, value: values[i]! });
    });
    return { type: 'values', ...identity, values: found };
  }
}

/** The value of a series after a metric of it came. A histogram is two metrics: its sum, and its counts. */
function merge(
  series: Series,
  before: Value,
  part: 'series' | 'counts',
  value: SparkplugMetric['value'],
): Value {
  if (series.bounds !== undefined) {
    const places = series.bounds.length + 1;
    const old = (before ?? { sum: 0, counts: new Array<number>(places).fill(0) }) as HistogramValue;
    if (value === null) return part === 'series' ? null : before;
    if (part === 'series') return { sum: finite(value), counts: old.counts };
    if (!(value instanceof Uint8Array) || value.length !== 4 * places)
      throw broken('has counts that do not fit');
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return { sum: old.sum, counts: old.counts.map((_, i) => view.getUint32(4 * i, true)) };
  }
  if (value === null) return null;
  if (series.over !== undefined) {
    if (!(value instanceof Uint8Array) || value.length % 8 !== 0)
      throw broken('has a list that does not fit');
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    return Array.from({ length: value.length / 8 }, (_, i) => finite(view.getFloat64(8 * i, true)));
  }
  return finite(value);
}

function finite(value: SparkplugMetric['value']): number {
  const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : NaN;
  if (!Number.isFinite(number)) throw broken('has a value that is no number');
  return number;
}

function named(payload: SparkplugPayload, name: string): SparkplugMetric {
  const metric = payload.metrics.find((m) => m.name === name);
  if (!metric || metric.value === null) throw broken(`has no ${name}`);
  return metric;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw broken('has a property or event that is not JSON');
  }
}
