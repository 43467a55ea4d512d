import { TelemetryError } from './telemetry-error.js';

/** Kinds of messages of a device: `<prefix>/<device>/<kind>`. */
export const MESSAGE_KINDS = [
  'birth',
  'death',
  'schema',
  'sample',
  'debug',
  'event',
  'alarm',
  'update',
] as const;
export type MessageKind = (typeof MESSAGE_KINDS)[number];

/** Kinds of Sparkplug messages of an edge node: `spBv1.0/<group>/<kind>/<node>`. */
export const SPARKPLUG_KINDS = ['NBIRTH', 'NDEATH', 'NDATA', 'NCMD'] as const;
export type SparkplugKind = (typeof SPARKPLUG_KINDS)[number];

export const DEFAULT_PREFIX = 'pocketmoe';
export const SPARKPLUG_NAMESPACE = 'spBv1.0';

/** Throws TelemetryError (telemetry/name) for a name that is no single level of a topic. */
export function checkName(what: string, name: string): string {
  // eslint-disable-next-line no-control-regex
  if (name.length === 0 || name.length > 128 || /[+#/\u0000-\u001f\u007f]/.test(name) || name.startsWith('$'))
    throw new TelemetryError(
      'telemetry/name',
      `${what} ${JSON.stringify(name.slice(0, 140))} cannot be part of a topic`,
      'Use 1 to 128 characters without + # / or control characters, not beginning with $.',
    );
  return name;
}

export function topicOf(prefix: string, device: string, kind: MessageKind): string {
  return `${prefix}/${device}/${kind}`;
}

export function sparkplugTopic(group: string, kind: SparkplugKind, node: string): string {
  return `${SPARKPLUG_NAMESPACE}/${group}/${kind}/${node}`;
}

export type ParsedTopic =
  | { readonly encoding: 'json'; readonly device: string; readonly kind: MessageKind }
  | {
      readonly encoding: 'sparkplug';
      readonly device: string;
      readonly group: string;
      readonly kind: SparkplugKind;
    };

/** What a topic says, or null when it is of no device. `device` is the node's name; Sparkplug's is `group/node`. */
export function parseTopic(topic: string, prefix: string = DEFAULT_PREFIX): ParsedTopic | null {
  if (topic.length > 1024) return null;
  const sparkplug = /^spBv1\.0\/([^/]+)\/(NBIRTH|NDEATH|NDATA|NCMD)\/([^/]+)$/.exec(topic);
  if (sparkplug)
    return {
      encoding: 'sparkplug',
      device: `${sparkplug[1]!}/${sparkplug[3]!}`,
      group: sparkplug[1]!,
      kind: sparkplug[2] as SparkplugKind,
    };
  if (!topic.startsWith(`${prefix}/`)) return null;
  const [device, kind, ...rest] = topic.slice(prefix.length + 1).split('/');
  if (!device || rest.length > 0 || !MESSAGE_KINDS.includes(kind as MessageKind)) return null;
  return { encoding: 'json', device, kind: kind as MessageKind };
}
