import { describe, expect, test } from '@jest/globals';
import { FolderSchemaStore } from '../../device/telemetry/schema-store.js';
import { Decoder, Deduplicator, type FleetMessage, TelemetryError } from '../../sdk/fleet/index.js';
import { observeEngine } from '../../device/telemetry/engine-source.js';
import type { Outgoing } from '../../device/telemetry/encoding.js';
import type { EngineStatistics } from '../../sdk/index.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device, type EncodingName } from './delivery.js';

const URL_ = 'mqtt://127.0.0.1:1';
const ENCODINGS: EncodingName[] = ['positions', 'names', 'sparkplug'];
const experts = {
  requests: 9,
  hits: 5,
  misses: 4,
  late: 1,
  evictions: 2,
  bytes: 1,
  stallNs: 5e6,
  rowsTotal: 1,
  rowsActive: 1,
};

/** All a device of this encoding says: birth, 12 records, goodbye. */
async function said(
  encoding: EncodingName,
  device = new Device(encoding, { url: URL_ }),
): Promise<Outgoing[]> {
  const { encoding: e, spool, clock } = device;
  const messages = [e.connect()].slice(1);
  observeEngine(device.registry, {
    experts,
    expertsByLayer: new Map([[3, experts]]),
    tokens: 11,
    slots: { count: 1, bytes: 2, resident: 3 },
    flash: { reads: 1, bytes: 2, failed: 3, corrupt: 4 },
    memory: { budgetBytes: 1, residentBytes: 2, peakBytes: 3 },
  } as unknown as EngineStatistics);
  device.registry.histogram('gen_ai.server.time_to_first_token');
  messages.push(...(await e.birth(clock)));
  device.produce(10);
  spool.append('debug', device.registry.sample('debug'), device.clock);
  for (const record of spool.records) messages.push(...(await e.record(record, device.clock)));
  return [...messages, ...e.farewell(device.clock)];
}

function decodeAll(messages: readonly Outgoing[]): FleetMessage[] {
  const decoder = new Decoder();
  return messages.map((m) => decoder.decode(m.topic, m.payload)).filter((m) => m !== null);
}

describe('decoder', () => {
  test('all encodings say the same', async () => {
    const [positions, names, sparkplug] = await Promise.all(
      ENCODINGS.map(async (e) => decodeAll(await said(e))),
    );
    const plain = (messages: FleetMessage[]) =>
      messages
        .filter((m) => m.type === 'values' || m.type === 'event')
        .map(({ device: _device, ...record }) =>
          record.type === 'values'
            ? { ...record, values: record.values.filter((v) => v.value !== null) }
            : record,
        );
    expect(plain(positions!)).toHaveLength(11);
    expect(plain(names!)).toEqual(plain(positions!));
    expect(plain(sparkplug!)).toEqual(plain(positions!));
    expect(positions!.at(-1)).toMatchObject({
      type: 'death',
      boot: 'boot-1',
      connection: 1,
      reason: 'closed',
    });
  });

  test('a record from before an update is read by the schema of its time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-schemas-'));
    try {
      const before = new Device(
        'positions',
        { url: URL_ },
        { boot: 'old', schemas: new FolderSchemaStore(folder) },
      );
      await said('positions', before);
      for (const encoding of ENCODINGS) {
        const after = new Device(
          encoding,
          { url: URL_ },
          { boot: 'new', schemas: new FolderSchemaStore(folder) },
        );
        after.encoding.connect();
        const messages = await after.encoding.birth(after.clock);
        for (const record of before.spool.records.slice(0, 2))
          messages.push(...(await after.encoding.record(record, after.clock)));
        const records = decodeAll(messages).filter((m) => m.type === 'values');
        expect(records.map((r) => [r.boot, r.sequence])).toEqual([
          ['old', 1],
          ['old', 2],
        ]);
        const tokens = records[1]!.values.find(({ series }) => series.name === 'moe.tokens');
        expect(tokens?.value).toBe(2);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each(ENCODINGS)(
    '%s: damaged messages give typed errors or nothing, never anything else',
    async (encoding) => {
      const messages = await said(encoding);
      let random = 12345;
      const next = (below: number) => (random = (Math.imul(random, 1103515245) + 12345) >>> 0) % below;
      let refused = 0;
      for (let round = 0; round < 60; round++) {
        const decoder = new Decoder();
        for (const { topic, payload } of messages) {
          const bytes = Buffer.from(payload);
          for (let i = 0; i < 1 + next(3) && bytes.length > 0; i++) bytes[next(bytes.length)] = next(256);
          const cut = next(4) === 0 ? bytes.subarray(0, next(bytes.length + 1)) : bytes;
          try {
            decoder.decode(topic, cut);
          } catch (error) {
            refused++;
            expect(error).toBeInstanceOf(TelemetryError);
          }
        }
      }
      expect(refused).toBeGreaterThan(100);
    },
  );

  test('what cannot be believed is named', async () => {
    const [birth] = await said('positions');
    const decoder = new Decoder();
    const code = (kind: string, text: string | Buffer) => {
      try {
        decoder.decode(`pocketmoe/d/${kind}`, Buffer.from(text));
        return null;
      } catch (error) {
        return (error as TelemetryError).code;
      }
    };
    expect(code('sample', '{"b":"x","s":1,"t":0,"p":["00000000",[]]}')).toBe('telemetry/no-birth');
    expect(code('birth', Buffer.from(birth!.payload))).toBeNull();
    expect(code('sample', Buffer.alloc(200_000, 32))).toBe('telemetry/size');
    expect(code('sample', '{')).toBe('telemetry/json');
    expect(code('sample', '[]')).toBe('telemetry/message');
    expect(code('sample', '{"b":"x","s":0,"t":0,"p":{}}')).toBe('telemetry/message');
    expect(code('event', '{"b":"x","s":1,"t":0,"p":{"name":7}}')).toBe('telemetry/event');
    expect(code('birth', '{"format":1,"boot":"b","connection":1,"time":0,"info":{},"series":[{}]}')).toBe(
      'telemetry/series',
    );
    expect(decoder.decode('other/d/sample', Buffer.from('{'))).toBeNull();
  });

  test('a lost Sparkplug message is a gap until the next birth', async () => {
    const messages = (await said('sparkplug')).slice(0, -1);
    const decoder = new Decoder();
    decoder.decode(messages[0]!.topic, messages[0]!.payload);
    const skip = () => decoder.decode(messages[2]!.topic, messages[2]!.payload);
    expect(skip).toThrow(expect.objectContaining({ code: 'telemetry/gap' }) as unknown as Error);
    expect(skip).toThrow(expect.objectContaining({ code: 'telemetry/no-birth' }) as unknown as Error);
    decoder.decode(messages[0]!.topic, messages[0]!.payload);
    expect(decoder.decode(messages[1]!.topic, messages[1]!.payload)).toMatchObject({ sequence: 1 });
  });

  test('a sample of 26 metrics is small by position and by alias', async () => {
    const device = new Device('positions', { url: URL_ });
    const messages = await said('positions', device);
    const count = device.registry.schema.series.filter((s) => s.class === 'sample').length;
    const sizes = await Promise.all(
      ENCODINGS.map(async (e) => (await said(e))[e === 'sparkplug' ? 2 : 3]!.payload.length),
    );
    expect(count).toBeGreaterThan(15);
    expect(messages[3]!.payload.length).toBe(sizes[0]);
    expect(sizes[0]).toBeLessThan(250);
    expect(sizes[1]).toBeGreaterThan(2 * sizes[0]!);
    expect(sizes[2]).toBeLessThan(250);
  });
});

describe('deduplicator', () => {
  test('passes each record once, over gaps, mixed order and far jumps', () => {
    const seen = new Deduplicator({ window: 64 });
    const isNew = (sequence: number, boot = 'b') => seen.isNew({ device: 'd', boot, sequence });
    const order = [1, 2, 5, 3, 5, 1, 70, 69, 70, 4, 7, 1000, 999, 1000, 937, 936];
    expect(order.map((s) => isNew(s))).toEqual([
      ...[true, true, true, true, false, false, true, true, false, false, true],
      ...[true, true, false, true, false],
    ]);
    expect(isNew(1, 'c')).toBe(true);
  });

  test('agrees with a set for a device that sends again from anywhere within its window', () => {
    const seen = new Deduplicator();
    const set = new Set<number>();
    let random = 7;
    for (let at = 1; at < 5000;) {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      expect(seen.isNew({ device: 'd', boot: 'b', sequence: at })).toBe(!set.has(at));
      set.add(at);
      at =
        (random >>> 16) % 11 === 0 ? Math.max(1, at - ((random >>> 20) % 20)) : at + 1 + ((random >>> 8) % 3);
    }
    expect(seen.statistics().passed).toBe(set.size);
  });

  test('memory is bounded: the device heard longest ago is forgotten', () => {
    const seen = new Deduplicator({ devices: 10, boots: 2 });
    for (let d = 0; d < 100; d++) seen.isNew({ device: `d${d}`, boot: 'b', sequence: 1 });
    expect(seen.statistics().devices).toBe(10);
    expect(seen.isNew({ device: 'd99', boot: 'b', sequence: 1 })).toBe(false);
  });
});
