import { PocketMoeError } from '../error.js';

/** A message, record or option of the telemetry that cannot be used. Codes telemetry/*. */
export class TelemetryError extends PocketMoeError {
  override readonly name = 'TelemetryError';
}
