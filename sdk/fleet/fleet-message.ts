import type { Schema, Series, Value } from './series.js';

/** Same as the spool's RecordClass; written again here so that a fleet's server needs nothing of the device. */
export type FleetRecordClass = 'debug' | 'sample' | 'event' | 'alarm' | 'update';

/** What identifies a record for ever: a consumer that stored it once drops it when it comes again. */
export interface RecordIdentity {
  readonly device: string;
  /** One run of the agent. */
  readonly boot: string;
  /** Per boot, from 1; gaps are records the device dropped. */
  readonly sequence: number;
}

/** Something that happened, or is wrong. */
export interface TelemetryEvent {
  readonly name: string;
  readonly message?: string;
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
}

export interface SeriesValue {
  readonly series: Series;
  readonly value: Value;
}

export interface BirthMessage {
  readonly type: 'birth';
  readonly device: string;
  readonly boot: string;
  /** Connections since the boot began (Sparkplug: bdSeq). A death counts only for its own. */
  readonly connection: number;
  /** ms since 1970, by the device's clock. */
  readonly time: number;
  readonly schema: Schema;
  /** What does not change while the agent runs: versions, model, board. */
  readonly info: Readonly<Record<string, string>>;
}

export interface DeathMessage {
  readonly type: 'death';
  readonly device: string;
  /** Unknown in Sparkplug, whose deaths name the connection only. */
  readonly boot: string | null;
  readonly connection: number;
  /** 'lost': said by the broker. 'closed': the agent went in an orderly way. */
  readonly reason: 'lost' | 'closed';
}

export interface SampleMessage extends RecordIdentity {
  readonly type: 'values';
  readonly class: FleetRecordClass;
  readonly time: number;
  /** Sent later than it was made, Sparkplug only; elsewhere compare times. */
  readonly historical: boolean;
  readonly values: readonly SeriesValue[];
}

export interface EventMessage extends RecordIdentity {
  readonly type: 'event';
  readonly class: FleetRecordClass;
  readonly time: number;
  readonly historical: boolean;
  readonly event: TelemetryEvent;
}

export type FleetRecord = SampleMessage | EventMessage;

/** What a decoder makes of a message. 'schema' needs no action. */
export type FleetMessage =
  | BirthMessage
  | DeathMessage
  | FleetRecord
  | { readonly type: 'schema'; readonly device: string; readonly schema: Schema };
