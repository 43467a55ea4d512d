import {
  packValue,
  type Schema,
  schemaOf,
  type Series,
  type SeriesClass,
  type Value,
} from '../../sdk/fleet/index.js';
import { Counter } from './counter.js';
import { Gauge } from './gauge.js';
import { Histogram } from './histogram.js';
import { metricNamed, type MetricName, metricPlace, METRICS } from './metrics.js';

type Named<K extends string> = Extract<(typeof METRICS)[number], { kind: K }>['name'];
export type Attributes = Readonly<Record<string, string>>;
/** What births say about the device, by name. */
export type Info = Readonly<Partial<Record<MetricName, string>>>;

/** Series of one metric: more kinds of errors or sensors than this are counted together, as "other". */
const SERIES_PER_METRIC = 256;
const MAXIMUM_SAMPLE_BYTES = 95_000;
const TEXT = 128;

/** Digits after the point by unit: what is measured has no more, and each costs a byte in every sample. */
const DIGITS: Readonly<Record<string, number>> = { s: 6, Cel: 1, W: 3, '1': 4 };

interface Cell {
  readonly series: Series;
  readonly source: { readonly value: Value };
  readonly scale: number;
}

/** A list of numbers that is set as a whole. */
export class List {
  value: readonly number[] | null = null;
}

/**
 * The metrics' values. Ask once for a counter, gauge or histogram and keep it; a series exists, and is in births, from
 * the first time it is asked for.
 */
export class Registry {
  readonly #cells = new Map<string, Cell>();
  readonly #perMetric = new Map<string, number>();
  #schema: { schema: Schema; cells: readonly Cell[] } | null = null;

  counter(name: Named<'counter'>, attributes: Attributes = {}): Counter {
    return this.#cell(name, attributes, () => new Counter());
  }

  gauge(name: Named<'gauge'>, attributes: Attributes = {}): Gauge {
    return this.#cell(name, attributes, () => new Gauge());
  }

  histogram(name: Named<'histogram'>, attributes: Attributes = {}): Histogram {
    return this.#cell(name, attributes, () => new Histogram(metricNamed(name).bounds!));
  }

  /** A counter with a value for each index of the metric's `over`. */
  list(name: 'moe.router.load', attributes: Attributes): List {
    return this.#cell(name, attributes, () => new List());
  }

  /** All series there are, in the order of METRICS. The same object until a series is added. */
  get schema(): Schema {
    return this.#ordered().schema;
  }

  /** The values now, in the order of the schema. */
  values(): Value[] {
    return this.#ordered().cells.map(valueOf);
  }

  /**
   * A sample: the values of a class by position, as UTF-8 JSON `["<schema id>",[…]]`, at most 95,000 bytes; lists that
   * would make it longer are left out (null).
   */
  sample(group: SeriesClass): Uint8Array {
    const { schema, cells } = this.#ordered();
    const values = cells.filter(({ series }) => series.class === group).map((c) => packValue(valueOf(c)));
    const encode = (list: readonly unknown[]) => Buffer.from(JSON.stringify([schema.id, list]));
    const whole = encode(values);
    return whole.length <= MAXIMUM_SAMPLE_BYTES
      ? whole
      : encode(values.map((v) => (Array.isArray(v) ? null : v)));
  }

  #ordered() {
    if (!this.#schema) {
      const cells = [...this.#cells.values()].sort(
        (a, b) => metricPlace(a.series.name) - metricPlace(b.series.name),
      );
      this.#schema = { schema: schemaOf(cells.map((c) => c.series)), cells };
    }
    return this.#schema;
  }

  #cell<T extends { readonly value: Value }>(name: MetricName, attributes: Attributes, make: () => T): T {
    let key = name as string;
    for (const attribute in attributes) key += `\0${attribute}=${attributes[attribute]}`;
    const known = this.#cells.get(key);
    if (known) return known.source as unknown as T;
    const count = (this.#perMetric.get(name) ?? 0) + 1;
    if (count > SERIES_PER_METRIC && Object.values(attributes).some((v) => v !== 'other'))
      return this.#cell(name, Object.fromEntries(Object.keys(attributes).map((k) => [k, 'other'])), make);
    this.#perMetric.set(name, count);
    const { kind, unit, class: group, bounds, over } = metricNamed(name);
    if (kind === 'info' || group === 'birth') throw new Error(`${name} is no measured metric`);
    const source = make();
    this.#cells.set(key, {
      series: {
        name,
        kind,
        unit,
        class: group,
        attributes: Object.fromEntries(Object.entries(attributes).map(([k, v]) => [k, v.slice(0, TEXT)])),
        ...(bounds ? { bounds } : {}),
        ...(over ? { over } : {}),
      },
      source,
      scale: 10 ** (DIGITS[unit] ?? 0),
    });
    this.#schema = null;
    return source;
  }
}

function valueOf({ source: { value }, scale }: Cell): Value {
  const round = (v: number) => Math.round(v * scale) / scale;
  if (value === null) return null;
  if (typeof value === 'number') return round(value);
  return 'counts' in value ? { sum: round(value.sum), counts: value.counts } : value;
}
