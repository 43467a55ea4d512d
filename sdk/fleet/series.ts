import { createHash } from 'node:crypto';
import { TelemetryError } from './telemetry-error.js';

export const METRIC_KINDS = ['counter', 'gauge', 'histogram', 'info'] as const;
export type MetricKind = (typeof METRIC_KINDS)[number];

/** Records that carry values by position. */
export const SERIES_CLASSES = ['sample', 'debug'] as const;
export type SeriesClass = (typeof SERIES_CLASSES)[number];

/** A metric with its attributes, as births list it. Its place among the series of its class is its position. */
export interface Series {
  readonly name: string;
  readonly kind: Exclude<MetricKind, 'info'>;
  readonly unit: string;
  readonly class: SeriesClass;
  readonly attributes: Readonly<Record<string, string>>;
  /** Histograms: upper bounds of all buckets but the last, ascending. */
  readonly bounds?: readonly number[];
  /** The value is a list, one number for each index of this attribute, from 0. */
  readonly over?: string;
}

/** How often what was observed fell in each bucket, and its sum. Both only grow. */
export interface HistogramValue {
  readonly sum: number;
  /** One more than bounds. */
  readonly counts: readonly number[];
}

export type Value = number | readonly number[] | HistogramValue | null;

/** All series of a device, under a name made from them: equal names, equal series. */
export interface Schema {
  readonly id: string;
  readonly series: readonly Series[];
}

/** Bounds on what a birth may list: nothing larger is kept in memory. */
export const SCHEMA_LIMITS = { series: 4096, bounds: 64, attributes: 8, text: 128, list: 4096 } as const;

/** The schema of these series. Its id is 8 hex digits of SHA-256 over their canonical JSON. */
export function schemaOf(series: readonly Series[]): Schema {
  const canonical = JSON.stringify(
    series.map((s) => [
      s.name,
      s.kind,
      s.unit,
      s.class,
      Object.entries(s.attributes).sort(([a], [b]) => (a < b ? -1 : 1)),
      s.bounds ?? null,
      s.over ?? null,
    ]),
  );
  return { id: createHash('sha256').update(canonical).digest('hex').slice(0, 8), series };
}

/** `name{key=value,…}`, keys sorted: names a series in messages with names. */
export function seriesKey({ name, attributes }: Pick<Series, 'name' | 'attributes'>): string {
  const pairs = Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

const wrong = (what: string) =>
  new TelemetryError('telemetry/series', `the list of series ${what}`, 'See docs/telemetry.md for births.');

const isText = (value: unknown, empty = false): value is string =>
  typeof value === 'string' && value.length <= SCHEMA_LIMITS.text && (empty || value.length > 0);

/** Series from a message. Throws TelemetryError (telemetry/series) for anything not as documented. */
export function checkSeries(list: unknown): readonly Series[] {
  if (!Array.isArray(list)) throw wrong('is not a list');
  if (list.length > SCHEMA_LIMITS.series)
    throw wrong(`has ${list.length} entries, at most ${SCHEMA_LIMITS.series}`);
  return list.map((entry: unknown, index) => {
    if (typeof entry !== 'object' || entry === null) throw wrong(`holds no object at ${index}`);
    const {
      name,
      kind,
      unit,
      class: group,
      attributes = {},
      bounds,
      over,
    } = entry as Record<string, unknown>;
    if (!isText(name) || !isText(unit, true)) throw wrong(`has a name or unit that is not text at ${index}`);
    if (kind !== 'counter' && kind !== 'gauge' && kind !== 'histogram')
      throw wrong(`has an unknown kind at ${index}`);
    if (group !== 'sample' && group !== 'debug') throw wrong(`has an unknown class at ${index}`);
    if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes))
      throw wrong(`has attributes that are no object at ${index}`);
    const pairs = Object.entries(attributes);
    if (pairs.length > SCHEMA_LIMITS.attributes || !pairs.every(([k, v]) => isText(k) && isText(v, true)))
      throw wrong(`has attributes that are too many or not text at ${index}`);
    if ((kind === 'histogram') !== (bounds !== undefined)) throw wrong(`has bounds amiss at ${index}`);
    if (bounds !== undefined) {
      if (!Array.isArray(bounds) || bounds.length === 0 || bounds.length > SCHEMA_LIMITS.bounds)
        throw wrong(`has too few or many bounds at ${index}`);
      if (!bounds.every((b, i) => Number.isFinite(b) && (i === 0 || b > bounds[i - 1])))
        throw wrong(`has bounds that do not ascend at ${index}`);
    }
    if (over !== undefined && (!isText(over) || kind === 'histogram'))
      throw wrong(`has a list amiss at ${index}`);
    return {
      name,
      kind,
      unit,
      class: group,
      attributes: Object.fromEntries(pairs) as Record<string, string>,
      ...(bounds === undefined ? {} : { bounds: bounds as number[] }),
      ...(over === undefined ? {} : { over: over as string }),
    };
  });
}

/**
 * A value as JSON carries it: a number; a list for series over an attribute; [sum, counts…] for histograms; null where
 * there is none. Zeros at the end of a list are left out.
 */
export function packValue(value: Value): number | number[] | null {
  if (value === null || typeof value === 'number') return value;
  const list = 'counts' in value ? [value.sum, ...value.counts] : [...value];
  while (list.length > 0 && list.at(-1) === 0) list.pop();
  return list;
}

/** The value that {@link packValue} packed. Throws TelemetryError (telemetry/value) when it does not fit the series. */
export function unpackValue(series: Series, packed: unknown): Value {
  if (packed === null) return null;
  const bad = () =>
    new TelemetryError(
      'telemetry/value',
      `the value of ${seriesKey(series)} is not a ${series.kind}${series.over === undefined ? '' : ' list'}`,
      'See docs/telemetry.md for samples.',
    );
  const isNumber = (v: unknown): v is number => typeof v === 'number' && Number.isFinite(v);
  if (series.bounds !== undefined) {
    const most = series.bounds.length + 2;
    if (!Array.isArray(packed) || packed.length > most || !packed.every(isNumber)) throw bad();
    const [sum = 0, ...counts] = packed as number[];
    if (!counts.every((c) => Number.isSafeInteger(c) && c >= 0)) throw bad();
    while (counts.length < most - 1) counts.push(0);
    return { sum, counts };
  }
  if (series.over !== undefined) {
    if (!Array.isArray(packed) || packed.length > SCHEMA_LIMITS.list || !packed.every(isNumber)) throw bad();
    return packed as number[];
  }
  if (!isNumber(packed)) throw bad();
  return packed;
}
