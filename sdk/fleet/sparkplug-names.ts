import { encodeSparkplug, SparkplugType } from './sparkplug-payload.js';
import { sparkplugTopic } from './topics.js';

/** Metrics of an edge node beside its series. The first two are the specification's. */
export const BDSEQ = 'bdSeq';
export const REBIRTH = 'Node Control/Rebirth';
export const RECORD_BOOT = 'Record/Boot';
export const RECORD_SEQUENCE = 'Record/Sequence';
export const RECORD_CLASS = 'Record/Class';
export const RECORD_EVENT = 'Record/Event';

/** Property of a metric in a birth: the series as JSON; of a histogram's second metric: `counts`; of information: its name. */
export const SERIES_PROPERTY = 'series';
export const COUNTS_PROPERTY = 'counts-of';
export const INFO_PROPERTY = 'info';

/** What a host publishes (QoS 0, not retained) to have a node send its birth again. */
export function rebirthRequest(
  group: string,
  node: string,
  now: number = Date.now(),
): { topic: string; payload: Uint8Array } {
  return {
    topic: sparkplugTopic(group, 'NCMD', node),
    payload: encodeSparkplug({
      timestamp: now,
      metrics: [{ name: REBIRTH, timestamp: now, datatype: SparkplugType.Boolean, value: true }],
    }),
  };
}
