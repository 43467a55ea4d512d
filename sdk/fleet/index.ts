/** The fleet side of telemetry: what devices send, decoded. Needs neither engine nor agent. */
export { Decoder, type DecoderOptions } from './decoder.js';
export { Deduplicator, type DeduplicatorOptions } from './deduplicator.js';
export type {
  BirthMessage,
  DeathMessage,
  EventMessage,
  FleetMessage,
  FleetRecord,
  FleetRecordClass,
  RecordIdentity,
  SampleMessage,
  SeriesValue,
  TelemetryEvent,
} from './fleet-message.js';
export { checkEvent } from './event.js';
export {
  checkSeries,
  METRIC_KINDS,
  packValue,
  SCHEMA_LIMITS,
  schemaOf,
  seriesKey,
  unpackValue,
  type HistogramValue,
  type MetricKind,
  type Schema,
  type Series,
  type SeriesClass,
  type Value,
} from './series.js';
export * from './sparkplug-names.js';
export {
  decodeSparkplug,
  encodeSparkplug,
  SparkplugType,
  type SparkplugMetric,
  type SparkplugPayload,
} from './sparkplug-payload.js';
export { TelemetryError } from './telemetry-error.js';
export { checkName, DEFAULT_PREFIX, MESSAGE_KINDS, parseTopic, sparkplugTopic, topicOf } from './topics.js';
