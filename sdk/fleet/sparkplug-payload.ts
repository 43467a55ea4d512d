import {
  BYTES,
  FIXED32,
  FIXED64,
  type ProtobufField,
  ProtobufWriter,
  readProtobuf,
  VARINT,
} from './protobuf.js';
import { TelemetryError } from './telemetry-error.js';

/** Data types of Sparkplug B that are used or understood here (Sparkplug 3.0, 6.4.16). */
export const SparkplugType = {
  Int64: 4,
  UInt32: 7,
  UInt64: 8,
  Double: 10,
  Boolean: 11,
  String: 12,
  UInt32Array: 28,
  DoubleArray: 30,
} as const;
export type SparkplugType = (typeof SparkplugType)[keyof typeof SparkplugType];

export type SparkplugValue = number | bigint | boolean | string | Uint8Array | null;

export interface SparkplugMetric {
  readonly name?: string;
  readonly alias?: number;
  /** ms since 1970, UTC. */
  readonly timestamp?: number;
  readonly datatype?: number;
  readonly historical?: boolean;
  /** String properties of the metric. */
  readonly properties?: Readonly<Record<string, string>>;
  /** null is said as such (is_null). Arrays are their little-endian bytes. */
  readonly value: SparkplugValue;
}

export interface SparkplugPayload {
  readonly timestamp?: number;
  readonly seq?: number;
  readonly metrics: readonly SparkplugMetric[];
}

/** Bounds on a payload that is read. */
export const SPARKPLUG_LIMITS = { metrics: 8192, fields: 64, properties: 32 } as const;

/** Encodes a payload. Metrics with a datatype use its field; those without take it from `typeOf`. */
export function encodeSparkplug(
  payload: SparkplugPayload,
  typeOf: (metric: SparkplugMetric) => number = (metric) => metric.datatype ?? guess(metric.value),
): Uint8Array {
  const writer = new ProtobufWriter();
  if (payload.timestamp !== undefined) writer.varint(1, payload.timestamp);
  for (const metric of payload.metrics) writer.message(2, encodeMetric(metric, typeOf(metric)));
  if (payload.seq !== undefined) writer.varint(3, payload.seq);
  return writer.finish();
}

function encodeMetric(metric: SparkplugMetric, type: number): ProtobufWriter {
  const writer = new ProtobufWriter();
  if (metric.name !== undefined) writer.string(1, metric.name);
  if (metric.alias !== undefined) writer.varint(2, metric.alias);
  if (metric.timestamp !== undefined) writer.varint(3, metric.timestamp);
  if (metric.datatype !== undefined) writer.varint(4, metric.datatype);
  if (metric.historical) writer.bool(5, true);
  const { value, properties } = metric;
  if (value === null) writer.bool(7, true);
  if (properties) {
    const set = new ProtobufWriter();
    for (const key of Object.keys(properties)) set.string(1, key);
    for (const text of Object.values(properties))
      set.message(2, new ProtobufWriter().varint(1, SparkplugType.String).string(8, text));
    writer.message(9, set);
  }
  if (value === null) return writer;
  if (typeof value === 'boolean') writer.bool(14, value);
  else if (typeof value === 'string') writer.string(15, value);
  else if (value instanceof Uint8Array) writer.bytes(16, value);
  else if (type === SparkplugType.UInt32) writer.varint(10, value);
  else if (type === SparkplugType.Int64 || type === SparkplugType.UInt64) writer.varint(11, value);
  else writer.double(13, Number(value));
  return writer;
}

const guess = (value: SparkplugValue): number =>
  typeof value === 'bigint' ? SparkplugType.Int64 : SparkplugType.Double;

const broken = (what: string) =>
  new TelemetryError(
    'telemetry/sparkplug',
    `the Sparkplug payload ${what}`,
    'Sparkplug B 3.0, section 6.4, says what it holds.',
  );

/**
 * Decodes a payload; fields that are unknown or of no use here (templates, data sets, metadata) are passed over.
 * Throws TelemetryError for malformed bytes and beyond {@link SPARKPLUG_LIMITS}.
 */
export function decodeSparkplug(bytes: Uint8Array): SparkplugPayload {
  const metrics: SparkplugMetric[] = [];
  let timestamp: number | undefined;
  let seq: number | undefined;
  for (const field of readProtobuf(bytes, SPARKPLUG_LIMITS.metrics + SPARKPLUG_LIMITS.fields)) {
    if (field.number === 1) timestamp = whole(field, 'timestamp');
    else if (field.number === 2) metrics.push(decodeMetric(message(field, 'metrics')));
    else if (field.number === 3) seq = whole(field, 'seq');
    if (metrics.length > SPARKPLUG_LIMITS.metrics)
      throw broken(`has more than ${SPARKPLUG_LIMITS.metrics} metrics`);
  }
  return {
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(seq === undefined ? {} : { seq }),
    metrics,
  };
}

function decodeMetric(bytes: Uint8Array): SparkplugMetric {
  const metric: { -readonly [K in keyof SparkplugMetric]: SparkplugMetric[K] } = { value: null };
  let isNull = false;
  for (const field of readProtobuf(bytes, SPARKPLUG_LIMITS.fields)) {
    switch (field.number) {
      case 1:
        metric.name = text(field, 'name');
        break;
      case 2:
        metric.alias = whole(field, 'alias');
        break;
      case 3:
        metric.timestamp = whole(field, 'timestamp');
        break;
      case 4:
        metric.datatype = whole(field, 'datatype');
        break;
      case 5:
        metric.historical = whole(field, 'is_historical') !== 0;
        break;
      case 7:
        isNull = whole(field, 'is_null') !== 0;
        break;
      case 9:
        metric.properties = decodeProperties(message(field, 'properties'));
        break;
      case 10:
        metric.value = whole(field, 'int_value');
        break;
      case 11:
        if (field.type !== VARINT) throw broken('has a long_value of another type');
        metric.value = BigInt.asIntN(64, field.value);
        break;
      case 12:
        if (field.type !== FIXED32) throw broken('has a float_value of another type');
        metric.value = field.value.readFloatLE();
        break;
      case 13:
        if (field.type !== FIXED64) throw broken('has a double_value of another type');
        metric.value = field.value.readDoubleLE();
        break;
      case 14:
        metric.value = whole(field, 'boolean_value') !== 0;
        break;
      case 15:
        metric.value = text(field, 'string_value');
        break;
      case 16:
        metric.value = message(field, 'bytes_value');
    }
  }
  if (isNull) metric.value = null;
  return metric;
}

function decodeProperties(bytes: Uint8Array): Record<string, string> {
  const keys: string[] = [];
  const values: (string | null)[] = [];
  for (const field of readProtobuf(bytes, 2 * SPARKPLUG_LIMITS.properties)) {
    if (field.number === 1) keys.push(text(field, 'property key'));
    else if (field.number === 2) {
      let value: string | null = null;
      for (const inner of readProtobuf(message(field, 'property'), SPARKPLUG_LIMITS.fields))
        if (inner.number === 8) value = text(inner, 'property');
      values.push(value);
    }
  }
  if (keys.length !== values.length) throw broken('has properties without a key or a value');
  const pairs = keys.map((key, i) => [key, values[i]!] as const).filter(([, value]) => value !== null);
  return Object.fromEntries(pairs);
}

function whole(field: ProtobufField, name: string): number {
  if (field.type !== VARINT) throw broken(`has a ${name} of another type`);
  if (field.value > BigInt(Number.MAX_SAFE_INTEGER)) throw broken(`has a ${name} of ${field.value}`);
  return Number(field.value);
}

function message(field: ProtobufField, name: string): Buffer {
  if (field.type !== BYTES) throw broken(`has ${name} of another type`);
  return field.value;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function text(field: ProtobufField, name: string): string {
  const bytes = message(field, name);
  try {
    return utf8.decode(bytes);
  } catch {
    throw broken(`has a ${name} that is not UTF-8`);
  }
}
