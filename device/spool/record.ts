/** What a telemetry record is, for everything that writes, keeps, sends or decodes one. */

/**
 * Why a record exists, which decides what is given up first when space runs out (see shedding.ts). `debug`: nobody
 * misses it. `sample`: one of a series of cumulative counters; every other one still tells the story. `event`: happened
 * once. `alarm`: somebody must know. `update`: the trail of a software or model update.
 */
export type RecordClass = 'debug' | 'sample' | 'event' | 'alarm' | 'update';

/** All classes, in the order in which they are given up. */
export const RECORD_CLASSES: readonly RecordClass[] = ['debug', 'sample', 'event', 'alarm', 'update'];

/** Largest payload in bytes: what the strictest brokers take (128 KB) with room for topic and headers. */
export const MAXIMUM_PAYLOAD_BYTES = 100_000;

/** One telemetry record as it was appended. */
export interface SpoolRecord {
  /** Identifies one run of the agent; a restart begins a new one. */
  readonly boot: string;
  /** Position in its boot, from 1, without gaps except for records that were dropped. */
  readonly sequence: number;
  /** When it was made, in ms since 1970 by the device's clock, which may jump: order is by boot and sequence. */
  readonly time: number;
  readonly class: RecordClass;
  /** Encoded content, at most MAXIMUM_PAYLOAD_BYTES. The spool never looks inside. */
  readonly payload: Uint8Array;
}
