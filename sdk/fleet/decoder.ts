import { checkEvent } from './event.js';
import type {
  DeathMessage,
  FleetMessage,
  FleetRecord,
  FleetRecordClass,
  SeriesValue,
} from './fleet-message.js';
import { checkSeries, type Schema, schemaOf, seriesKey, unpackValue } from './series.js';
import { SparkplugNode } from './sparkplug-node.js';
import { TelemetryError } from './telemetry-error.js';
import { DEFAULT_PREFIX, type MessageKind, parseTopic } from './topics.js';

export interface DecoderOptions {
  /** First levels of the topics. Default "pocketmoe". */
  prefix?: string;
  /** Longest payload, in bytes. Default 131,072. */
  payloadBytes?: number;
  /** Devices remembered; the one heard longest ago is forgotten first. Default 100,000. */
  devices?: number;
}

/** Schemas remembered per device: the one in force, and those of records from before an update. */
const SCHEMAS = 4;

/** What is remembered of a device. */
interface DeviceState {
  readonly schemas: Map<string, Schema>;
  /** The last one decoded by names: keys to places. */
  keys: { schema: Schema; places: ReadonlyMap<string, number> } | null;
  readonly sparkplug: SparkplugNode;
}

const broken = (what: string) =>
  new TelemetryError('telemetry/message', `the message ${what}`, 'See docs/telemetry.md for messages.');

/**
 * Decodes what devices publish, in every encoding, to typed records. Give it all messages of a device in order, births
 * first (they are retained; Sparkplug's are asked for with {@link rebirthRequest}). Whether a record is new, a
 * {@link Deduplicator} says. The device's name is the topic's, never the payload's: a broker can check topics.
 */
export class Decoder {
  readonly #devices = new Map<string, DeviceState>();
  readonly #options: Required<DecoderOptions>;

  constructor({ prefix = DEFAULT_PREFIX, payloadBytes = 131_072, devices = 100_000 }: DecoderOptions = {}) {
    this.#options = { prefix, payloadBytes, devices };
  }

  /**
   * What a message says, or null when it says nothing about a device (other topics, commands, a cleared death).
   * Throws TelemetryError: telemetry/size, telemetry/json, telemetry/message, telemetry/series, telemetry/value,
   * telemetry/event, telemetry/protobuf, telemetry/sparkplug for what cannot be believed; telemetry/no-birth when the
   * birth that explains it is missing; telemetry/gap when Sparkplug messages were lost (ask for a rebirth).
   */
  decode(topic: string, payload: Uint8Array): FleetMessage | null {
    const parsed = parseTopic(topic, this.#options.prefix);
    if (!parsed) return null;
    const { device } = parsed;
    if (payload.length > this.#options.payloadBytes)
      throw new TelemetryError(
        'telemetry/size',
        `a message of ${payload.length} bytes from ${device}`,
        `At most ${this.#options.payloadBytes} bytes are decoded.`,
      );
    if (parsed.encoding === 'sparkplug') {
      if (parsed.kind === 'NCMD') return null;
      return this.#state(`sparkplug ${device}`).sparkplug.decode(device, parsed.kind, payload);
    }
    if (payload.length === 0) return null; // a retained message was cleared
    const state = this.#state(`json ${device}`);
    const body = parse(payload);
    if (parsed.kind === 'birth') return this.#birth(device, state, body);
    if (parsed.kind === 'death') return death(device, body);
    if (parsed.kind === 'schema') return { type: 'schema', device, schema: remember(state, body['series']) };
    return this.#record(device, parsed.kind, state, body);
  }

  #birth(device: string, state: DeviceState, body: Record<string, unknown>): FleetMessage {
    if (body['format'] !== 1) throw broken('is a birth of another format');
    const info = body['info'];
    if (typeof info !== 'object' || info === null || Array.isArray(info)) throw broken('has no info');
    const pairs = Object.entries(info);
    if (
      pairs.length > 64 ||
      !pairs.every(([k, v]) => k.length <= 128 && typeof v === 'string' && v.length <= 512)
    )
      throw broken('has information that is too much or not text');
    return {
      type: 'birth',
      device,
      boot: text(body, 'boot'),
      connection: whole(body, 'connection'),
      time: whole(body, 'time'),
      schema: remember(state, body['series']),
      info: Object.fromEntries(pairs) as Record<string, string>,
    };
  }

  #record(device: string, kind: MessageKind, state: DeviceState, body: Record<string, unknown>): FleetRecord {
    const named = body['sequence'] !== undefined;
    const identity = {
      device,
      boot: text(body, named ? 'boot' : 'b'),
      sequence: whole(body, named ? 'sequence' : 's', 1),
      time: whole(body, named ? 'time' : 't'),
      class: kind as FleetRecordClass,
      historical: false,
    };
    const content = named ? (body['event'] ?? body['metrics']) : body['p'];
    if (named && body['metrics'] !== undefined)
      return { type: 'values', ...identity, values: this.#named(state, body['schema'], content) };
    if (Array.isArray(content))
      return { type: 'values', ...identity, values: positional(state, kind, content) };
    return { type: 'event', ...identity, event: checkEvent(content) };
  }

  #named(state: DeviceState, id: unknown, metrics: unknown): SeriesValue[] {
    const schema = schemaNamed(state, id);
    if (typeof metrics !== 'object' || metrics === null || Array.isArray(metrics))
      throw broken('has no metrics');
    if (state.keys?.schema !== schema)
      state.keys = { schema, places: new Map(schema.series.map((series, i) => [seriesKey(series), i])) };
    const { places } = state.keys;
    return Object.entries(metrics).map(([key, value]: [string, unknown]) => {
      const place = places.get(key);
      if (place === undefined) throw broken(`has a metric that its birth does not list`);
      const series = schema.series[place]!;
      const packed =
        series.bounds !== undefined && typeof value === 'object' && value !== null && !Array.isArray(value)
          ? flat(value as Record<string, unknown>)
          : value;
      return { series, value: unpackValue(series, packed) };
    });
  }

  #state(key: string): DeviceState {
    const state = this.#devices.get(key) ?? {
      schemas: new Map(),
      keys: null,
      sparkplug: new SparkplugNode(),
    };
    this.#devices.delete(key);
    this.#devices.set(key, state);
    if (this.#devices.size > this.#options.devices) this.#devices.delete(this.#devices.keys().next().value!);
    return state;
  }
}

function positional(state: DeviceState, kind: MessageKind, content: readonly unknown[]): SeriesValue[] {
  const [id, list] = content;
  const schema = schemaNamed(state, id);
  const series = schema.series.filter((s) => s.class === kind);
  if (content.length !== 2 || !Array.isArray(list) || list.length !== series.length)
    throw broken(`does not have the ${series.length} values its birth promises`);
  return series.map((s, i) => ({ series: s, value: unpackValue(s, list[i]) }));
}

/** A histogram with names, as its list. */
function flat(value: Record<string, unknown>): unknown {
  const { sum, buckets } = value;
  return Array.isArray(buckets) ? [sum, ...(buckets as unknown[])] : value;
}

function schemaNamed(state: DeviceState, id: unknown): Schema {
  const schema = typeof id === 'string' ? state.schemas.get(id) : undefined;
  if (!schema)
    throw new TelemetryError(
      'telemetry/no-birth',
      'a record came whose birth was not seen',
      'Subscribe to births before records; births are retained.',
    );
  return schema;
}

function remember(state: DeviceState, series: unknown): Schema {
  const schema = schemaOf(checkSeries(series));
  state.schemas.delete(schema.id);
  state.schemas.set(schema.id, schema);
  if (state.schemas.size > SCHEMAS) state.schemas.delete(state.schemas.keys().next().value!);
  return schema;
}

function death(device: string, body: Record<string, unknown>): DeathMessage {
  return {
    type: 'death',
    device,
    boot: text(body, 'boot'),
    connection: whole(body, 'connection'),
    reason: body['reason'] === 'closed' ? 'closed' : 'lost',
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parse(payload: Uint8Array): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(utf8.decode(payload));
  } catch {
    throw new TelemetryError(
      'telemetry/json',
      'the message is not JSON in UTF-8',
      'See docs/telemetry.md for messages.',
    );
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw broken('is not an object');
  return body as Record<string, unknown>;
}

function text(body: Record<string, unknown>, key: string): string {
  const value = body[key];
  if (typeof value !== 'string' || value.length === 0 || value.length > 128)
    throw broken(`has no text "${key}"`);
  return value;
}

function whole(body: Record<string, unknown>, key: string, least = 0): number {
  const value = body[key];
  if (!Number.isSafeInteger(value) || (value as number) < least) throw broken(`has no whole number "${key}"`);
  return value as number;
}
