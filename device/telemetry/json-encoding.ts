import { checkName, DEFAULT_PREFIX, seriesKey, topicOf } from '../../sdk/fleet/index.js';
import type { SpoolRecord } from '../spool/record.js';
import type { Encoding, Identity, Outgoing } from './encoding.js';
import { readRecord, schemaIdOf } from './record-payload.js';

export interface JsonOptions {
  /** First levels of the topics, without + or #. Default "pocketmoe". */
  prefix?: string;
  /**
   * false: values by position, after a birth that lists them; small. true: values by name, for tools that know no
   * births; four times as large. Default false.
   */
  names?: boolean;
}

/** JSON messages: a retained birth, records with QoS 1, a retained death. */
export class JsonEncoding implements Encoding {
  readonly acknowledged = true;
  readonly subscriptions: readonly string[] = [];
  readonly #identity: Identity;
  readonly #prefix: string;
  readonly #names: boolean;
  #connection = 0;
  /** Schemas that were told on this connection. */
  #told = new Set<string>();

  constructor(identity: Identity, { prefix = DEFAULT_PREFIX, names = false }: JsonOptions = {}) {
    for (const level of prefix.split('/')) checkName('the prefix', level);
    checkName('the device', identity.device);
    this.#identity = identity;
    this.#prefix = prefix;
    this.#names = names;
  }

  connect(): Outgoing {
    this.#connection++;
    this.#told = new Set();
    return this.#death('lost');
  }

  async birth(now: number): Promise<Outgoing[]> {
    const { boot, info, metrics, schemas } = this.#identity;
    const { schema } = metrics;
    await schemas.put(schema);
    this.#told.add(schema.id);
    const birth = {
      format: 1,
      boot,
      connection: this.#connection,
      time: now,
      encoding: this.#names ? 'names' : 'positions',
      info,
      schema: schema.id,
      series: schema.series,
    };
    return [
      this.#message('birth', birth, true),
      // the death of an earlier connection, for tools that look at that topic only
      { topic: this.#topic('death'), payload: new Uint8Array(0), qos: 1, retain: true },
    ];
  }

  async record(record: SpoolRecord, now: number): Promise<Outgoing[]> {
    const messages: Outgoing[] = [];
    const { schemas, boot, metrics } = this.#identity;
    const id = schemaIdOf(record);
    if (id !== null && !this.#told.has(id)) {
      if (record.boot === boot && metrics.schema.id === id) messages.push(...(await this.birth(now)));
      else {
        // A record from before an update: only who listens now gets it, so only they need to know its schema.
        const schema = await schemas.get(id);
        if (schema) messages.push(this.#message('schema', { schema: id, series: schema.series }, false));
        this.#told.add(id);
      }
    }
    messages.push({
      topic: this.#topic(record.class),
      payload: this.#names ? await this.#named(record) : positional(record),
      qos: 1,
      retain: false,
    });
    return messages;
  }

  farewell(): Outgoing[] {
    return [this.#death('closed')];
  }

  asksRebirth(): boolean {
    return false;
  }

  async #named(record: SpoolRecord): Promise<Uint8Array> {
    const { schemas, metrics: current } = this.#identity;
    await schemas.put(current.schema); // series may have been added since the birth
    const content = await readRecord(record, schemas);
    const { boot, sequence, time } = record;
    if (content.of === 'event')
      return Buffer.from(JSON.stringify({ boot, sequence, time, event: content.event }));
    const series = content.schema.series.filter((s) => s.class === record.class);
    const entries: [string, unknown][] = [];
    content.values.forEach((value, i) => {
      if (value === null) return;
      const named =
        typeof value === 'object' && 'counts' in value
          ? { sum: value.sum, count: value.counts.reduce((a, b) => a + b, 0), buckets: value.counts }
          : value;
      entries.push([seriesKey(series[i]!), named]);
    });
    const metrics = Object.fromEntries(entries);
    return Buffer.from(JSON.stringify({ boot, sequence, time, schema: content.schema.id, metrics }));
  }

  #death(reason: 'lost' | 'closed'): Outgoing {
    return this.#message('death', { boot: this.#identity.boot, connection: this.#connection, reason }, true);
  }

  #message(kind: Parameters<typeof topicOf>[2], body: object, retain: boolean): Outgoing {
    return { topic: this.#topic(kind), payload: Buffer.from(JSON.stringify(body)), qos: 1, retain };
  }

  #topic(kind: Parameters<typeof topicOf>[2]): string {
    return topicOf(this.#prefix, this.#identity.device, kind);
  }
}

/** The payload as it is, in an envelope: nothing is parsed. */
function positional({ boot, sequence, time, payload }: SpoolRecord): Uint8Array {
  const head = `{"b":${JSON.stringify(boot)},"s":${sequence},"t":${time},"p":`;
  return Buffer.concat([Buffer.from(head), payload, Buffer.from('}')]);
}
