import { beforeAll, describe, expect, test } from '@jest/globals';
import protobuf from 'protobufjs';
import type { Identity, Outgoing } from '../../device/telemetry/encoding.js';
import { encodeEvent } from '../../device/telemetry/record-payload.js';
import { Registry } from '../../device/telemetry/registry.js';
import { MemorySchemaStore } from '../../device/telemetry/schema-store.js';
import { SparkplugEncoding } from '../../device/telemetry/sparkplug-encoding.js';
import { rebirthRequest } from '../../sdk/fleet/index.js';
import { MemorySpool } from './memory-spool.js';

/** The payload as the specification's section 6.4.3 numbers its fields, read by protobufjs: not by our own reader. */
const Payload = protobuf
  .parse(
    `syntax = "proto2"; message Payload {
      message Value { optional uint32 type = 1; optional string string_value = 8; }
      message Properties { repeated string keys = 1; repeated Value values = 2; }
      message Metric { optional string name = 1; optional uint64 alias = 2; optional uint64 timestamp = 3;
        optional uint32 datatype = 4; optional bool is_historical = 5; optional bool is_null = 7;
        optional Properties properties = 9; optional uint32 int_value = 10; optional uint64 long_value = 11;
        optional float float_value = 12; optional double double_value = 13; optional bool boolean_value = 14;
        optional string string_value = 15; optional bytes bytes_value = 16; }
      optional uint64 timestamp = 1; repeated Metric metrics = 2; optional uint64 seq = 3; }`,
    { keepCase: true },
  )
  .root.lookupType('Payload');

interface Metric {
  name?: string;
  alias?: number;
  timestamp?: number;
  datatype?: number;
  is_historical?: boolean;
  is_null?: boolean;
  long_value?: number;
  double_value?: number;
  boolean_value?: boolean;
  string_value?: string;
}
interface Read extends Outgoing {
  body: { timestamp?: number; seq?: number; metrics: Metric[] };
}
const read = (message: Outgoing): Read => ({
  ...message,
  body: Payload.toObject(Payload.decode(message.payload), { longs: Number, arrays: true }) as Read['body'],
});
const metric = ({ body }: Read, name: string) => body.metrics.find((m) => m.name === name)!;
const VALUES = ['long_value', 'double_value', 'boolean_value', 'string_value', 'bytes_value', 'int_value'];

const START = 1_763_845_200_000;
/** Two connections of a node: birth, 300 data, an event, a historical record, a rebirth; then birth again. */
const run = {} as {
  will: Read;
  birth: Read;
  data: Read[];
  old: Read;
  rebirth: Read;
  after: Read;
  second: [Read, Read];
  farewell: Read;
  subscriptions: readonly string[];
  wills: Read[];
};
const messages = () => [run.birth, ...run.data, run.old, run.rebirth, run.after, run.second[1]];
const births = () => [run.birth, run.rebirth, run.second[1]];
const allData = () => [...run.data, run.old, run.after];

beforeAll(async () => {
  const registry = new Registry();
  const tokens = registry.counter('moe.tokens', { 'gen_ai.token.type': 'output' });
  tokens.add(5);
  registry.histogram('gen_ai.server.time_to_first_token').observe(0.4);
  registry.gauge('hw.temperature', { 'hw.id': 'cpu.thermal' });
  registry.list('moe.router.load', { layer: '0' }).value = [1, 2, 3];
  const identity: Identity = {
    device: 'oven-7',
    boot: 'b2',
    info: { 'device.id': 'oven-7' },
    metrics: registry,
    schemas: new MemorySchemaStore(),
  };
  const node = new SparkplugEncoding(identity, { group: 'kitchen' });
  const spool = new MemorySpool('b2');
  run.subscriptions = node.subscriptions;
  run.will = read(node.connect());
  const first = await node.birth(START);
  expect(first).toHaveLength(1);
  run.birth = read(first[0]!);
  run.data = [];
  for (let i = 1; i <= 300; i++) {
    tokens.add(1);
    const payload = i === 150 ? encodeEvent({ name: 'test' }) : registry.sample('sample');
    const record = spool.append(i === 150 ? 'event' : 'sample', payload, START + 1000 * i);
    run.data.push(...(await node.record(record, START + 1000 * i)).map(read));
  }
  const before = { ...spool.records[0]!, boot: 'b1', time: START - 5000 };
  run.old = read((await node.record(before, START + 301_000))[0]!);
  const request = rebirthRequest('kitchen', 'oven-7');
  expect(node.asksRebirth(request.topic, request.payload)).toBe(true);
  expect(node.asksRebirth(request.topic.replace('oven-7', 'oven-8'), request.payload)).toBe(false);
  expect(node.asksRebirth(request.topic, Buffer.from('nonsense'))).toBe(false);
  run.rebirth = read((await node.birth(START + 302_000))[0]!);
  tokens.add(1);
  const last = spool.append('sample', registry.sample('sample'), START + 303_000);
  run.after = read((await node.record(last, START + 303_000))[0]!);
  run.farewell = read(node.farewell()[0]!);
  run.second = [read(node.connect()), read((await node.birth(START + 400_000))[0]!)];
  run.wills = Array.from({ length: 300 }, () => read(node.connect()));
});

const all = (list: readonly Read[], holds: (message: Read) => boolean) => list.every(holds);
const isWill = ({ qos, retain }: Read) => qos === 1 && !retain;
const bdSeqOf = (message: Read) => metric(message, 'bdSeq').long_value;
const seqs = () => [run.birth, ...run.data, run.old].map((m) => m.body.seq);

/** Sparkplug 3.0's assertions for edge nodes that a payload, topic or flag can show, by their tck-id. */
const ASSERTIONS: readonly [id: string, holds: () => boolean][] = [
  ['topic-structure', () => all(messages(), (m) => /^spBv1\.0\/kitchen\/N[A-Z]+\/oven-7$/.test(m.topic))],
  ['topic-structure-namespace-a', () => all(messages(), (m) => m.topic.startsWith('spBv1.0/'))],
  [
    'topic-structure-namespace-device-id-non-associated-message-types',
    () => all(messages(), (m) => m.topic.split('/').length === 4),
  ],
  ['topics-nbirth-topic', () => all(births(), (m) => m.topic === 'spBv1.0/kitchen/NBIRTH/oven-7')],
  [
    'message-flow-edge-node-birth-publish-nbirth-topic',
    () => all(births(), (m) => m.topic === 'spBv1.0/kitchen/NBIRTH/oven-7'),
  ],
  ['topics-nbirth-mqtt', () => all(births(), (m) => m.qos === 0 && !m.retain)],
  ['payloads-nbirth-qos', () => all(births(), (m) => m.qos === 0)],
  ['payloads-nbirth-retain', () => all(births(), (m) => !m.retain)],
  ['message-flow-edge-node-birth-publish-nbirth-qos', () => all(births(), (m) => m.qos === 0)],
  ['message-flow-edge-node-birth-publish-nbirth-retained', () => all(births(), (m) => !m.retain)],
  [
    'message-flow-edge-node-birth-publish-nbirth-payload',
    () => all(births(), (m) => m.body.metrics.length > 6),
  ],
  ['topics-nbirth-seq-num', () => all(births(), (m) => m.body.seq === 0)],
  ['payloads-nbirth-seq', () => all(births(), (m) => m.body.seq! >= 0 && m.body.seq! <= 255)],
  [
    'message-flow-edge-node-birth-publish-nbirth-payload-seq',
    () => all(births(), (m) => m.body.seq! >= 0 && m.body.seq! <= 255),
  ],
  ['payloads-sequence-num-zero-nbirth', () => all(births(), (m) => m.body.seq! >= 0 && m.body.seq! <= 255)],
  ['topics-nbirth-timestamp', () => run.birth.body.timestamp === START],
  ['payloads-nbirth-timestamp', () => run.rebirth.body.timestamp === START + 302_000],
  [
    'payloads-timestamp-in-UTC',
    () => all(messages(), (m) => m.body.timestamp! >= START && m.body.timestamp! <= START + 400_000),
  ],
  [
    'topics-nbirth-metric-reqs',
    () =>
      all(allData(), (m) =>
        m.body.metrics.every((x) => births().some((b) => b.body.metrics.some((y) => y.alias === x.alias))),
      ),
  ],
  [
    'operational-behavior-data-publish-nbirth',
    () =>
      all(run.data, (m) =>
        m.body.metrics.every((x) => run.birth.body.metrics.some((y) => y.alias === x.alias)),
      ),
  ],
  [
    'topics-nbirth-metrics',
    () =>
      all(births(), (b) =>
        b.body.metrics.every((m) => m.name && m.datatype && (m.is_null || VALUES.some((v) => v in m))),
      ),
  ],
  [
    'operational-behavior-data-publish-nbirth-values',
    () =>
      all(births(), (b) => b.body.metrics.every((m) => Boolean(m.is_null) !== VALUES.some((v) => v in m))),
  ],
  [
    'payloads-metric-datatype-req',
    () => all(births(), (b) => b.body.metrics.every((m) => m.datatype !== undefined)),
  ],
  [
    'payloads-metric-datatype-value-type',
    () => all(births(), (b) => b.body.metrics.every((m) => Number.isInteger(m.datatype))),
  ],
  [
    'payloads-metric-datatype-value',
    () => all(births(), (b) => b.body.metrics.every((m) => m.datatype! >= 1 && m.datatype! <= 34)),
  ],
  [
    'payloads-metric-datatype-not-req',
    () => all(allData(), (d) => d.body.metrics.every((m) => m.datatype === undefined)),
  ],
  ['topics-nbirth-bdseq-included', () => all(births(), (b) => bdSeqOf(b) !== undefined)],
  ['payloads-nbirth-bdseq', () => all(births(), (b) => bdSeqOf(b) !== undefined)],
  [
    'topics-nbirth-bdseq-matching',
    () => bdSeqOf(run.birth) === bdSeqOf(run.will) && bdSeqOf(run.second[1]) === bdSeqOf(run.second[0]),
  ],
  ['payloads-nbirth-bdseq-repeat', () => bdSeqOf(run.birth) === bdSeqOf(run.will)],
  ['payloads-ndeath-bdseq', () => bdSeqOf(run.second[1]) === bdSeqOf(run.second[0])],
  [
    'message-flow-edge-node-birth-publish-nbirth-payload-bdSeq',
    () => metric(run.birth, 'bdSeq').datatype === 4,
  ],
  ['topics-nbirth-bdseq-increment', () => bdSeqOf(run.will) === 0 && bdSeqOf(run.second[0]) === 1],
  [
    'message-flow-edge-node-birth-publish-will-message-payload-bdSeq',
    () => run.wills.every((m, i) => bdSeqOf(m) === (i + 2) % 256 && metric(m, 'bdSeq').datatype === 4),
  ],
  [
    'topics-nbirth-rebirth-metric',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth').boolean_value === false),
  ],
  [
    'payloads-nbirth-rebirth-req',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth').boolean_value === false),
  ],
  [
    'operational-behavior-data-commands-rebirth-name',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth') !== undefined),
  ],
  [
    'operational-behavior-data-commands-rebirth-name-aliases',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth').alias === undefined),
  ],
  [
    'operational-behavior-data-commands-rebirth-datatype',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth').datatype === 11),
  ],
  [
    'operational-behavior-data-commands-rebirth-value',
    () => all(births(), (b) => metric(b, 'Node Control/Rebirth').boolean_value === false),
  ],
  [
    'operational-behavior-data-commands-rebirth-action-2',
    () => run.rebirth.body.metrics.length === run.birth.body.metrics.length,
  ],
  ['operational-behavior-data-commands-rebirth-action-3', () => bdSeqOf(run.rebirth) === bdSeqOf(run.will)],
  ['topics-ndata-topic', () => all(allData(), (m) => m.topic === 'spBv1.0/kitchen/NDATA/oven-7')],
  ['topics-ndata-mqtt', () => all(allData(), (m) => m.qos === 0 && !m.retain)],
  ['payloads-ndata-qos', () => all(allData(), (m) => m.qos === 0)],
  ['payloads-ndata-retain', () => all(allData(), (m) => !m.retain)],
  ['topics-ndata-seq-num', () => seqs().every((s, i) => s === i % 256)],
  ['payloads-ndata-seq', () => all(allData(), (m) => m.body.seq !== undefined)],
  ['payloads-ndata-seq-inc', () => seqs().every((s, i) => s === i % 256)],
  [
    'payloads-sequence-num-incrementing',
    () => seqs()[255] === 255 && seqs()[256] === 0 && run.after.body.seq === 1,
  ],
  ['payloads-sequence-num-always-included', () => all(messages(), (m) => m.body.seq !== undefined)],
  ['topics-ndata-timestamp', () => all(run.data, (m) => m.body.timestamp! > START)],
  ['payloads-ndata-timestamp', () => run.old.body.timestamp === START + 301_000],
  ['topics-ndata-payload', () => all(run.data, (m) => m.body.metrics.length >= 3)],
  [
    'operational-behavior-data-publish-nbirth-change',
    () => all(run.data.slice(1), (m) => m.body.metrics.length === 3),
  ],
  ['principles-rbe-recommended', () => all(run.data.slice(1), (m) => m.body.metrics.length === 3)],
  [
    'operational-behavior-data-publish-nbirth-order',
    () =>
      messages()
        .filter((m) => !m.body.metrics.some((x) => x.is_historical))
        .every(
          (m, i, list) =>
            i === 0 || list[i - 1]!.body.metrics.every((x) => x.timestamp! <= m.body.metrics[0]!.timestamp!),
        ),
  ],
  ['payloads-name-requirement', () => all(births(), (b) => b.body.metrics.every((m) => m.name))],
  [
    'payloads-alias-uniqueness',
    () =>
      all(births(), (b) => {
        const a = b.body.metrics.flatMap((m) => m.alias ?? []);
        return new Set(a).size === a.length;
      }),
  ],
  [
    'payloads-alias-birth-requirement',
    () =>
      all(births(), (b) =>
        b.body.metrics.every((m) => m.name && (m.alias !== undefined || m.name === 'Node Control/Rebirth')),
      ),
  ],
  [
    'payloads-alias-data-cmd-requirement',
    () => all(allData(), (d) => d.body.metrics.every((m) => m.alias !== undefined && m.name === undefined)),
  ],
  [
    'payloads-name-birth-data-requirement',
    () => all(messages(), (d) => d.body.metrics.every((m) => m.timestamp !== undefined)),
  ],
  [
    'payloads-metric-timestamp-in-UTC',
    () => run.old.body.metrics.every((m) => m.timestamp === START - 5000 && m.is_historical),
  ],
  [
    'case-sensitivity-metric-names',
    () =>
      all(
        births(),
        (b) => new Set(b.body.metrics.map((m) => m.name!.toLowerCase())).size === b.body.metrics.length,
      ),
  ],
  ['topics-ndeath-topic', () => run.will.topic === 'spBv1.0/kitchen/NDEATH/oven-7'],
  [
    'message-flow-edge-node-birth-publish-will-message-topic',
    () => run.will.topic === 'spBv1.0/kitchen/NDEATH/oven-7',
  ],
  ['message-flow-edge-node-birth-publish-will-message-payload', () => bdSeqOf(run.will) === 0],
  ['topics-ndeath-payload', () => all(run.wills, (m) => m.body.metrics.length === 1)],
  ['topics-ndeath-seq', () => all(run.wills, (m) => m.body.seq === undefined)],
  ['payloads-ndeath-seq', () => run.farewell.body.seq === undefined],
  ['payloads-ndeath-will-message-qos', () => all(run.wills, isWill)],
  ['message-flow-edge-node-birth-publish-will-message-qos', () => run.will.qos === 1],
  ['payloads-ndeath-will-message-retain', () => all(run.wills, (m) => !m.retain)],
  ['message-flow-edge-node-birth-publish-will-message-will-retained', () => !run.will.retain],
  [
    'payloads-ndeath-will-message-publisher',
    () => run.farewell.topic === run.will.topic && bdSeqOf(run.farewell) === 0,
  ],
  ['message-flow-edge-node-ncmd-subscribe', () => run.subscriptions.join() === 'spBv1.0/kitchen/NCMD/oven-7'],
];

describe('Sparkplug B 3.0, edge node', () => {
  test.each(ASSERTIONS.map(([id, holds]) => [`tck-id-${id}`, holds] as const))('%s', (_id, holds) => {
    expect(holds()).toBe(true);
  });

  test('names of groups and nodes that are no level of a topic are refused', () => {
    const identity = { boot: 'b', info: {}, metrics: new Registry(), schemas: new MemorySchemaStore() };
    for (const device of ['a/b', 'a+', '#', '']) {
      expect(() => new SparkplugEncoding({ ...identity, device })).toThrow(
        expect.objectContaining({ code: 'telemetry/name' }) as unknown as Error,
      );
    }
    expect(() => new SparkplugEncoding({ ...identity, device: 'a' }, { group: 'b/c' })).toThrow(/group/);
  });
});
