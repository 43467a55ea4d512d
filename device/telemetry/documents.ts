import { MESSAGE_KINDS, SCHEMA_LIMITS } from '../../sdk/fleet/index.js';
import { type Metric, METRICS } from './metrics.js';

/** What is written by hand around the table in docs/telemetry.md. */
export const TABLE_BEGIN = '<!-- metrics: written by scripts/telemetry-docs.ts -->';
export const TABLE_END = '<!-- end of metrics -->';

/** The table of all metrics, in Markdown. */
export function metricTable(): string {
  const rows = (METRICS as readonly Metric[]).map((m) => {
    const attributes = Object.entries(m.attributes).map(([name, values]) =>
      values === 'any' ? `\`${name}\`` : `\`${name}\`: ${values.join(', ')}`,
    );
    if (m.over !== undefined) attributes.push(`a list over \`${m.over}\``);
    const buckets = m.bounds ? ` Buckets up to ${m.bounds.join(', ')}, and above.` : '';
    const name = `\`${m.name}\`${m.standard ? ' ¹' : ''}`;
    return [name, m.kind, m.unit, m.class, attributes.join('; '), m.description + buckets];
  });
  return [
    '| metric | kind | unit | class | attributes | what it says |',
    '|---|---|---|---|---|---|',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n');
}

/** docs/telemetry.md with its table replaced. Throws when the markers are missing. */
export function withTable(document: string): string {
  const begin = document.indexOf(TABLE_BEGIN);
  const end = document.indexOf(TABLE_END);
  if (begin < 0 || end < begin)
    throw new Error(`docs/telemetry.md lacks the line ${TABLE_BEGIN} or ${TABLE_END}`);
  return `${document.slice(0, begin + TABLE_BEGIN.length)}\n${metricTable()}\n${document.slice(end)}`;
}

const names = (group: 'info' | 'series') =>
  METRICS.filter((m) => (m.kind === 'info') === (group === 'info')).map((m) => m.name);

const whole = { type: 'integer', minimum: 0 };
const boot = { type: 'string', minLength: 1, maxLength: 128, description: 'One run of the agent.' };
const time = { ...whole, description: "ms since 1970, by the device's clock." };
const sequence = {
  type: 'integer',
  minimum: 1,
  description: 'Per boot; gaps are records the device gave up.',
};
const schemaId = { type: 'string', pattern: '^[0-9a-f]{8}$', description: 'Names the list of series.' };
const number = { type: 'number' };
const list = (description: string) => ({ type: 'array', items: number, description });

/** JSON Schema (2020-12) of every JSON message. */
export function jsonSchema(): object {
  const series = {
    type: 'object',
    description: 'A metric with its attributes.',
    properties: {
      name: { enum: names('series') },
      kind: { enum: ['counter', 'gauge', 'histogram'] },
      unit: { type: 'string' },
      class: { enum: ['sample', 'debug'], description: 'The records that carry it.' },
      attributes: {
        type: 'object',
        maxProperties: SCHEMA_LIMITS.attributes,
        additionalProperties: { type: 'string', maxLength: SCHEMA_LIMITS.text },
      },
      bounds: {
        ...list('Histograms: upper bounds of all buckets but the last.'),
        minItems: 1,
        maxItems: SCHEMA_LIMITS.bounds,
      },
      over: { type: 'string', description: 'The value is a list, over the indices of this attribute.' },
    },
    required: ['name', 'kind', 'unit', 'class', 'attributes'],
  };
  const seriesList = { type: 'array', maxItems: SCHEMA_LIMITS.series, items: { $ref: '#/$defs/series' } };
  const event = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 128 },
      message: { type: 'string', maxLength: 4096 },
      attributes: {
        type: 'object',
        maxProperties: 64,
        additionalProperties: { type: ['string', 'number', 'boolean'] },
      },
    },
    required: ['name'],
  };
  const packed = {
    oneOf: [
      number,
      { type: 'null', description: 'Not known.' },
      list(
        'Histograms: sum, then counts per bucket. Lists over an attribute. Zeros at the end are left out.',
      ),
    ],
  };
  const positions = {
    type: 'object',
    properties: {
      b: boot,
      s: sequence,
      t: time,
      p: {
        oneOf: [
          {
            type: 'array',
            prefixItems: [schemaId, { type: 'array', items: packed }],
            items: false,
            minItems: 2,
            description: "Values of the series of the message's class, in the birth's order.",
          },
          { $ref: '#/$defs/event' },
        ],
      },
    },
    required: ['b', 's', 't', 'p'],
  };
  const named = {
    type: 'object',
    properties: {
      boot,
      sequence,
      time,
      schema: schemaId,
      metrics: {
        type: 'object',
        description: 'By "name" or "name{attribute=value,…}".',
        additionalProperties: {
          oneOf: [
            number,
            list('A list over an attribute.'),
            {
              type: 'object',
              properties: { sum: number, count: whole, buckets: { type: 'array', items: whole } },
              required: ['sum', 'count', 'buckets'],
            },
          ],
        },
      },
      event: { $ref: '#/$defs/event' },
    },
    required: ['boot', 'sequence', 'time'],
    oneOf: [{ required: ['schema', 'metrics'] }, { required: ['event'] }],
  };
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'PocketMoE telemetry messages',
    $defs: {
      series,
      event,
      birth: {
        type: 'object',
        properties: {
          format: { const: 1 },
          boot,
          connection: { ...whole, description: 'Counts connections; a death counts only for its own.' },
          time,
          encoding: { enum: ['positions', 'names'] },
          info: {
            type: 'object',
            properties: Object.fromEntries(names('info').map((name) => [name, { type: 'string' }])),
            additionalProperties: { type: 'string' },
          },
          schema: schemaId,
          series: seriesList,
        },
        required: ['format', 'boot', 'connection', 'time', 'encoding', 'info', 'schema', 'series'],
      },
      schema: {
        type: 'object',
        properties: { schema: schemaId, series: seriesList },
        required: ['schema', 'series'],
      },
      death: {
        type: 'object',
        properties: { boot, connection: whole, reason: { enum: ['lost', 'closed'] } },
        required: ['boot', 'connection', 'reason'],
      },
      record: { oneOf: [positions, named] },
    },
  };
}

const WHAT: Readonly<
  Record<(typeof MESSAGE_KINDS)[number], { retain: boolean; schema: string; text: string }>
> = {
  birth: { retain: true, schema: 'birth', text: 'What the device is, and the series its records carry.' },
  death: {
    retain: true,
    schema: 'death',
    text: 'The connection is gone. By the Will, or by the agent when it stops.',
  },
  schema: {
    retain: false,
    schema: 'schema',
    text: 'Series of records from before an update, sent just before them.',
  },
  sample: { retain: false, schema: 'record', text: 'Cumulative values, every second or so.' },
  debug: { retain: false, schema: 'record', text: 'Values per layer and expert, seldom.' },
  event: { retain: false, schema: 'record', text: 'Something happened.' },
  alarm: { retain: false, schema: 'record', text: 'Somebody must know.' },
  update: { retain: false, schema: 'record', text: 'The trail of an update.' },
};

/** AsyncAPI 3.0 of the JSON encodings. */
export function asyncApi(): object {
  const channels: Record<string, object> = {};
  const operations: Record<string, object> = {};
  for (const kind of MESSAGE_KINDS) {
    const { retain, schema, text } = WHAT[kind];
    channels[kind] = {
      address: `{prefix}/{device}/${kind}`,
      parameters: {
        prefix: { description: 'One or more levels.', default: 'pocketmoe' },
        device: { description: 'Name of the device.' },
      },
      messages: {
        [kind]: {
          contentType: 'application/json',
          summary: text,
          payload: {
            schemaFormat: 'application/schema+json;version=draft-2020-12',
            schema: { $ref: `telemetry.schema.json#/$defs/${schema}` },
          },
        },
      },
    };
    operations[`send-${kind}`] = {
      action: 'send',
      channel: { $ref: `#/channels/${kind}` },
      bindings: { mqtt: { qos: 1, retain, bindingVersion: '0.2.0' } },
    };
  }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'PocketMoE telemetry',
      version: '1',
      description:
        'What a device agent publishes over MQTT 3.1.1 or 5. Sparkplug B is described in telemetry.md.',
    },
    defaultContentType: 'application/json',
    channels,
    operations,
  };
}
