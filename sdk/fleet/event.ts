import type { TelemetryEvent } from './fleet-message.js';
import { TelemetryError } from './telemetry-error.js';

/** Bounds on an event. */
export const EVENT_LIMITS = { name: 128, message: 4096, attributes: 64, text: 4096 } as const;

/** An event from a message. Throws TelemetryError (telemetry/event) for anything not as documented. */
export function checkEvent(value: unknown): TelemetryEvent {
  const wrong = (what: string) =>
    new TelemetryError('telemetry/event', `the event ${what}`, 'See docs/telemetry.md for events.');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('is not an object');
  const { name, message, attributes } = value as Record<string, unknown>;
  if (typeof name !== 'string' || name.length === 0 || name.length > EVENT_LIMITS.name)
    throw wrong('has no name');
  if (message !== undefined && (typeof message !== 'string' || message.length > EVENT_LIMITS.message))
    throw wrong('has a message that is not text, or too long');
  if (attributes !== undefined) {
    if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes))
      throw wrong('has attributes that are no object');
    const pairs = Object.entries(attributes);
    const fits = (v: unknown) =>
      typeof v === 'boolean' ||
      (typeof v === 'number' && Number.isFinite(v)) ||
      (typeof v === 'string' && v.length <= EVENT_LIMITS.text);
    if (
      pairs.length > EVENT_LIMITS.attributes ||
      !pairs.every(([k, v]) => k.length <= EVENT_LIMITS.name && fits(v))
    )
      throw wrong('has attributes that are too many, too long or not plain');
  }
  return {
    name,
    ...(message === undefined ? {} : { message: message as string }),
    ...(attributes === undefined
      ? {}
      : { attributes: attributes as Record<string, string | number | boolean> }),
  };
}
