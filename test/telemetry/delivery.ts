import type { Encoding, Identity } from '../../device/telemetry/encoding.js';
import { JsonEncoding } from '../../device/telemetry/json-encoding.js';
import { encodeEvent } from '../../device/telemetry/record-payload.js';
import { Registry } from '../../device/telemetry/registry.js';
import { MemorySchemaStore, type SchemaStore } from '../../device/telemetry/schema-store.js';
import { SparkplugEncoding } from '../../device/telemetry/sparkplug-encoding.js';
import { Transport, type TransportOptions } from '../../device/telemetry/transport.js';
import { MemorySpool } from './memory-spool.js';

export type EncodingName = 'positions' | 'names' | 'sparkplug';

/** A device: metrics, a spool in memory, a transport. Its clock advances a second per record. */
export class Device {
  readonly registry = new Registry();
  readonly spool: MemorySpool;
  readonly encoding: Encoding;
  readonly transport: Transport;
  readonly errors: Error[] = [];
  clock: number;

  constructor(
    encoding: EncodingName,
    options: Omit<TransportOptions, 'device'> & { device?: string },
    { boot = 'boot-1', clock = 1_763_845_200_000, schemas = new MemorySchemaStore() as SchemaStore } = {},
  ) {
    const device = options.device ?? 'oven-7';
    this.clock = clock;
    this.spool = new MemorySpool(boot);
    const info = { 'device.id': device, 'service.version': '1.2.3' };
    const identity: Identity = { device, boot, info, metrics: this.registry, schemas };
    this.encoding =
      encoding === 'sparkplug'
        ? new SparkplugEncoding(identity)
        : new JsonEncoding(identity, { names: encoding === 'names' });
    this.registry.counter('moe.tokens', { 'gen_ai.token.type': 'output' }).add(0);
    this.transport = new Transport(this.spool, this.encoding, {
      backoff: { firstMs: 20, mostMs: 100 },
      pollMs: 50,
      recordsPerSecond: 100_000,
      now: () => this.clock,
      ...options,
      device,
    });
    this.transport.onError = (error) => this.errors.push(error);
  }

  /** A sample in which one more token was written; now and then an event. */
  produce(count: number): void {
    for (let i = 0; i < count; i++) {
      this.clock += 1000;
      this.registry.counter('moe.tokens', { 'gen_ai.token.type': 'output' }).add(1);
      this.registry.histogram('gen_ai.server.time_to_first_token').observe(0.3);
      if (i % 7 === 6)
        this.spool.append('event', encodeEvent({ name: 'test.seventh', attributes: { i } }), this.clock);
      else this.spool.append('sample', this.registry.sample('sample'), this.clock);
    }
    this.transport.wake();
  }

  /** Until the spool is empty. */
  async drained(): Promise<void> {
    while (this.spool.records.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
