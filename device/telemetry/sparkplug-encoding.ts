import {
  BDSEQ,
  checkName,
  COUNTS_PROPERTY,
  decodeSparkplug,
  encodeSparkplug,
  INFO_PROPERTY,
  REBIRTH,
  RECORD_BOOT,
  RECORD_CLASS,
  RECORD_EVENT,
  RECORD_SEQUENCE,
  type Schema,
  type Series,
  SERIES_PROPERTY,
  seriesKey,
  type SparkplugMetric,
  SparkplugType,
  sparkplugTopic,
  type Value,
} from '../../sdk/fleet/index.js';
import type { SpoolRecord } from '../spool/record.js';
import type { Encoding, Identity, Outgoing } from './encoding.js';
import { readRecord } from './record-payload.js';

export interface SparkplugOptions {
  /** Sparkplug's group id. Default "pocketmoe". */
  group?: string;
  /** First bdSeq: one more than the last run's, 0 to 255, where that is known. Default 0. */
  bdSeq?: number;
}

/** Names of a metric may hold any character, but hosts make folders of / and stumble over these (Sparkplug 3.0, 6.4.6). */
const DISCOURAGED = /[.,\\@#$%^&*()[\]{}|!`~:;'"<>?]/g;
/** Longest rebirth request that is looked at. */
const COMMAND_BYTES = 4096;

/** A series in a session: its metrics' aliases, and what was sent last. */
interface Place {
  readonly series: Series;
  readonly name: string;
  readonly alias: number;
  /** Histograms: alias of the counts. */
  readonly counts: number | null;
  last: string;
}

/**
 * Sparkplug B 3.0, as an edge node without devices. Data have QoS 0 and are not retained, as the specification asks; the
 * transport makes sure the broker has them before it lets the spool forget them. Records from before the birth are
 * historical and whole; later ones carry what changed.
 */
export class SparkplugEncoding implements Encoding {
  readonly acknowledged = false;
  readonly subscriptions: readonly string[];
  readonly #identity: Identity;
  readonly #group: string;
  #bdSeq: number;
  #seq = 0;
  #born = 0;
  #aliases = 0;
  readonly #record: Readonly<Record<'boot' | 'sequence' | 'class' | 'event', number>>;
  /** All series ever reported in this boot. They keep their aliases. */
  readonly #places = new Map<string, Place>();
  readonly #names = new Set<string>();

  constructor(identity: Identity, { group = 'pocketmoe', bdSeq = 0 }: SparkplugOptions = {}) {
    checkName('the group', group);
    checkName('the device', identity.device);
    this.#identity = identity;
    this.#group = group;
    this.#bdSeq = (bdSeq + 255) % 256;
    this.subscriptions = [this.#topic('NCMD')];
    const next = () => this.#aliases++;
    next(); // 0 is bdSeq
    this.#record = { boot: next(), sequence: next(), class: next(), event: next() };
  }

  get bdSeq(): number {
    return this.#bdSeq;
  }

  connect(): Outgoing {
    this.#bdSeq = (this.#bdSeq + 1) % 256;
    return this.#death();
  }

  async birth(now: number): Promise<Outgoing[]> {
    const { boot, info, metrics, schemas } = this.#identity;
    await schemas.put(metrics.schema);
    this.#born = now;
    this.#seq = 0;
    this.#include(metrics.schema);
    const values = new Map<string, Value>();
    const now_ = metrics.values();
    metrics.schema.series.forEach((series, i) => values.set(placeKey(series), now_[i] ?? null));
    const { Int64, Boolean, String } = SparkplugType;
    const alias = this.#record;
    const list: SparkplugMetric[] = [
      { name: BDSEQ, alias: 0, timestamp: now, datatype: Int64, value: BigInt(this.#bdSeq) },
      { name: REBIRTH, timestamp: now, datatype: Boolean, value: false },
      { name: RECORD_BOOT, alias: alias.boot, timestamp: now, datatype: String, value: boot },
      { name: RECORD_SEQUENCE, alias: alias.sequence, timestamp: now, datatype: Int64, value: null },
      { name: RECORD_CLASS, alias: alias.class, timestamp: now, datatype: String, value: null },
      { name: RECORD_EVENT, alias: alias.event, timestamp: now, datatype: String, value: null },
    ];
    let informationAlias = 1_000_000; // information is never reported again: its aliases only have to differ
    for (const [name, value] of Object.entries(info))
      if (value !== undefined)
        list.push({
          name: `Info/${name.replaceAll('.', '/')}`,
          alias: informationAlias++,
          timestamp: now,
          datatype: String,
          properties: { [INFO_PROPERTY]: name },
          value,
        });
    for (const place of this.#places.values()) {
      const value = values.get(placeKey(place.series)) ?? null;
      place.last = JSON.stringify(value);
      const [first, counts] = this.#metrics(place, value, now, false);
      const { class: group, ...series } = place.series;
      list.push({
        ...first!,
        name: place.name,
        datatype: datatypeOf(place.series),
        properties: { [SERIES_PROPERTY]: JSON.stringify({ ...series, class: group }) },
      });
      if (place.counts !== null)
        list.push({
          ...(counts ?? { alias: place.counts, timestamp: now, value: null }),
          name: `${place.name}/counts`,
          datatype: SparkplugType.UInt32Array,
          properties: { [COUNTS_PROPERTY]: place.name },
        });
    }
    const payload = encodeSparkplug({ timestamp: now, seq: this.#seq, metrics: list });
    return [{ topic: this.#topic('NBIRTH'), payload, qos: 0, retain: false }];
  }

  async record(record: SpoolRecord, now: number): Promise<Outgoing[]> {
    const { boot, schemas, metrics: current } = this.#identity;
    await schemas.put(current.schema); // series may have been added since the birth
    const content = await readRecord(record, schemas);
    const messages: Outgoing[] = [];
    // a birth lists every metric the session will report
    if (content.of === 'values' && this.#include(content.schema)) messages.push(...(await this.birth(now)));
    const historical = record.boot !== boot || record.time < this.#born;
    const common = { timestamp: record.time, ...(historical ? { historical } : {}) };
    const alias = this.#record;
    const metrics: SparkplugMetric[] = [
      { alias: alias.sequence, ...common, value: BigInt(record.sequence) },
      { alias: alias.class, ...common, value: record.class },
    ];
    if (record.boot !== boot) metrics.push({ alias: alias.boot, ...common, value: record.boot });
    if (content.of === 'event')
      metrics.push({ alias: alias.event, ...common, value: JSON.stringify(content.event) });
    else {
      const series = content.schema.series.filter((s) => s.class === record.class);
      series.forEach((s, i) => {
        const place = this.#places.get(placeKey(s))!;
        const value = content.values[i]!;
        const text = JSON.stringify(value);
        if (historical ? value === null : text === place.last) return;
        if (!historical) place.last = text;
        metrics.push(...this.#metrics(place, value, record.time, historical));
      });
    }
    this.#seq = (this.#seq + 1) % 256;
    const payload = encodeSparkplug({ timestamp: now, seq: this.#seq, metrics }, (metric) =>
      typeof metric.value === 'bigint' ? SparkplugType.Int64 : SparkplugType.Double,
    );
    messages.push({ topic: this.#topic('NDATA'), payload, qos: 0, retain: false });
    return messages;
  }

  farewell(): Outgoing[] {
    return [this.#death()];
  }

  asksRebirth(topic: string, payload: Uint8Array): boolean {
    if (topic !== this.#topic('NCMD') || payload.length > COMMAND_BYTES) return false;
    try {
      return decodeSparkplug(payload).metrics.some((m) => m.name === REBIRTH && m.value === true);
    } catch {
      return false;
    }
  }

  /** Gives new series a place; says whether there were any. */
  #include(schema: Schema): boolean {
    let added = false;
    for (const series of schema.series) {
      const key = placeKey(series);
      if (this.#places.has(key)) continue;
      added = true;
      const alias = this.#aliases++;
      const counts = series.bounds === undefined ? null : this.#aliases++;
      this.#places.set(key, { series, name: this.#name(series), alias, counts, last: '' });
    }
    return added;
  }

  /** Metric names that differ in more than upper and lower case. */
  #name(series: Series): string {
    const parts = [...series.name.split('.'), ...Object.values(series.attributes)];
    const name = parts.map((part) => part.replaceAll('/', '_').replace(DISCOURAGED, '_')).join('/');
    let unique = name;
    for (let i = 2; this.#names.has(unique.toLowerCase()); i++) unique = `${name} ${i}`;
    this.#names.add(unique.toLowerCase());
    return unique;
  }

  #metrics(
    { series, alias, counts }: Place,
    value: Value,
    timestamp: number,
    historical: boolean,
  ): SparkplugMetric[] {
    const common = { timestamp, ...(historical ? { historical } : {}) };
    if (value === null) return [{ alias, ...common, value: null }];
    if (typeof value === 'number')
      return [
        {
          alias,
          ...common,
          value: datatypeOf(series) === SparkplugType.Int64 ? BigInt(Math.round(value)) : value,
        },
      ];
    if ('counts' in value)
      return [
        { alias, ...common, value: value.sum },
        { alias: counts!, ...common, value: bytesOf(Uint32Array.from(value.counts)) },
      ];
    return [{ alias, ...common, value: bytesOf(Float64Array.from(value)) }];
  }

  #death(): Outgoing {
    const metrics = [{ name: BDSEQ, datatype: SparkplugType.Int64, value: BigInt(this.#bdSeq) }];
    return { topic: this.#topic('NDEATH'), payload: encodeSparkplug({ metrics }), qos: 1, retain: false };
  }

  #topic(kind: 'NBIRTH' | 'NDATA' | 'NDEATH' | 'NCMD'): string {
    return sparkplugTopic(this.#group, kind, this.#identity.device);
  }
}

/** Of equal key but another kind or class (after an update), a series is another one. */
const placeKey = (series: Series): string =>
  `${seriesKey(series)} ${series.kind} ${series.class} ${series.unit} ${series.bounds?.join() ?? ''}`;

/** Counts are whole numbers, but for counted seconds. */
function datatypeOf({ kind, unit, over, bounds }: Series): number {
  if (over !== undefined) return SparkplugType.DoubleArray;
  if (bounds !== undefined) return SparkplugType.Double;
  return kind === 'counter' && unit !== 's' ? SparkplugType.Int64 : SparkplugType.Double;
}

/** Sparkplug's arrays are little-endian, as are all processors this runs on (x64, arm64). */
function bytesOf(list: Uint32Array | Float64Array): Uint8Array {
  return new Uint8Array(list.buffer, list.byteOffset, list.byteLength);
}
