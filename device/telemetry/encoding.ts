import type { Schema, Value } from '../../sdk/fleet/index.js';
import type { SpoolRecord } from '../spool/record.js';
import type { SchemaStore } from './schema-store.js';

/** An MQTT message to be sent. */
export interface Outgoing {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

/** What encodings say about the device. */
export interface Identity {
  /** Name of the device: one level of a topic. */
  readonly device: string;
  /** This run of the agent; the spool's records carry it. */
  readonly boot: string;
  readonly info: Readonly<Record<string, string | undefined>>;
  /** The metrics now: a registry, or what stands for one. */
  readonly metrics: { readonly schema: Schema; values(): readonly Value[] };
  readonly schemas: SchemaStore;
}

/** How births, records and deaths are written. One object per agent; its connections follow one another. */
export interface Encoding {
  /** Records are acknowledged one by one (QoS 1); otherwise the transport asks the broker whether it has got so far. */
  readonly acknowledged: boolean;
  /** Topics to subscribe to (QoS 1) before anything is sent. */
  readonly subscriptions: readonly string[];
  /** Begins a connection; returns its Will. */
  connect(): Outgoing;
  /** The birth and what belongs to it, first on a connection and after a rebirth request. */
  birth(now: number): Promise<Outgoing[]>;
  /**
   * A record, last, after what is needed to understand it.
   * Throws TelemetryError when no consumer could ever read it.
   */
  record(record: SpoolRecord, now: number): Promise<Outgoing[]>;
  /** What to say before leaving in an orderly way. */
  farewell(now: number): Outgoing[];
  /** True when a received message asks for a new birth. Never throws: messages are hostile. */
  asksRebirth(topic: string, payload: Uint8Array): boolean;
}
