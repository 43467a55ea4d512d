import { spawn } from 'node:child_process';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Decoder, type FleetMessage, rebirthRequest } from '../../sdk/fleet/index.js';
import { makeCertificates } from './certificates.js';
import { Consumer } from './consumer.js';
import { Device, type EncodingName } from './delivery.js';
import { freePort, hasMosquitto, Mosquitto, tool } from './mosquitto.js';

const close: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const one of close.splice(0).reverse()) await one();
});

async function broker(lines?: readonly string[]): Promise<Mosquitto> {
  const mosquitto = new Mosquitto(await freePort());
  close.push(() => mosquitto.remove());
  await mosquitto.start(lines);
  return mosquitto;
}

function begin(...args: ConstructorParameters<typeof Device>): Device {
  const device = new Device(...args);
  device.transport.start();
  close.push(() => device.transport.stop(100));
  return device;
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

interface Seen {
  readonly topic: string;
  readonly payload: Buffer;
}

/**
 * What mosquitto_sub sees: the independent client. Resolves when it has subscribed, which the retained message "ready"
 * tells; `messages` is there after `count` messages.
 */
async function subscribe(port: number, topic: string, count: number): Promise<{ messages: Promise<Seen[]> }> {
  const to = ['-h', '127.0.0.1', '-p', String(port), '-q', '1'];
  const ready = spawn(tool('mosquitto_pub')!, [...to, '-r', '-t', 'ready', '-m', 'ready'], {
    stdio: 'ignore',
  });
  await new Promise((resolve) => ready.on('exit', resolve));
  const args = [...to, '-C', String(count + 1), '-t', topic, '-t', 'ready', '-F', '%t %x'];
  const child = spawn(tool('mosquitto_sub')!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  close.push(async () => void child.kill());
  let text = '';
  const messages = new Promise<Seen[]>((resolve) =>
    child.on('exit', () => {
      const lines = text
        .trim()
        .split('\n')
        .map((line) => line.split(' '));
      const all = lines.map(([name, hex = '']) => ({ topic: name!, payload: Buffer.from(hex, 'hex') }));
      resolve(all.filter((m) => m.topic !== 'ready'));
    }),
  );
  await new Promise<void>((resolve) =>
    child.stdout.on('data', (part: Buffer) => {
      text += part.toString();
      if (/^ready /m.test(text)) resolve();
    }),
  );
  return { messages };
}

if (hasMosquitto)
  describe('mosquitto', () => {
    test.each<[EncodingName, 4 | 5]>([
      ['positions', 4],
      ['positions', 5],
      ['names', 5],
    ])(
      '%s, MQTT version %i: killed and started again, nothing is lost and order holds',
      async (encoding, version) => {
        // The broker's own memory is not what is tested: it saves every change, and sends without a window.
        const lines = [
          'allow_anonymous true',
          'max_inflight_messages 0',
          'max_queued_messages 0',
          'autosave_on_changes true',
          'autosave_interval 1',
          'persistence true',
        ];
        const mosquitto = new Mosquitto(await freePort());
        close.push(() => mosquitto.remove());
        lines.push(`persistence_location ${mosquitto.folder}/`);
        await mosquitto.start(lines);
        const consumer = await Consumer.connect(mosquitto.port, version);
        close.push(() => consumer.close());
        const url = `mqtt://127.0.0.1:${mosquitto.port}`;
        const device = begin(encoding, { url, protocolVersion: version, recordsPerSecond: 400 });
        let produced = 0;
        for (let round = 0; round < 3; round++) {
          device.produce(60);
          produced += 60;
          await consumer.until(() => consumer.records.length > produced - 50);
          await mosquitto.stop('SIGKILL');
          device.produce(20);
          produced += 20;
          await mosquitto.start(lines);
        }
        await device.drained();
        await consumer.until(() => consumer.records.length >= produced);
        expect(consumer.errors).toEqual([]);
        expect(consumer.records.map((r) => r.sequence)).toEqual(numbers(produced));
        expect(device.transport.statistics()).toMatchObject({ undeliverable: 0, connections: 4 });
      },
    );

    test('mosquitto_sub sees the retained birth, samples by position, and the death by Will', async () => {
      const mosquitto = await broker();
      const device = begin('positions', { url: `mqtt://127.0.0.1:${mosquitto.port}` });
      device.produce(1);
      await device.drained();
      const [birth] = await (await subscribe(mosquitto.port, 'pocketmoe/+/birth', 1)).messages;
      const body = JSON.parse(birth!.payload.toString()) as Record<string, unknown>;
      expect(body).toMatchObject({ format: 1, boot: 'boot-1', connection: 1, encoding: 'positions' });
      expect((body['series'] as { name: string }[]).map((s) => s.name)).toContain('moe.tokens');
      const seen = await subscribe(mosquitto.port, 'pocketmoe/oven-7/#', 3); // the birth again, a sample, the death
      device.produce(1);
      await device.drained();
      // Another client takes the name over: the broker cuts the device off and publishes its Will.
      const thief = await Consumer.connect(mosquitto.port, 4, 'oven-7');
      close.push(() => thief.close());
      const messages = await seen.messages;
      expect(messages.map((m) => m.topic.split('/')[2])).toEqual(['birth', 'sample', 'death']);
      const sample = JSON.parse(messages[1]!.payload.toString()) as { p: [string, unknown[]] };
      expect(sample).toMatchObject({ b: 'boot-1', s: 2, p: [body['schema'], [[0.6, 0, 0, 0, 2], 2]] });
      expect(JSON.parse(messages[2]!.payload.toString())).toEqual({
        boot: 'boot-1',
        connection: 1,
        reason: 'lost',
      });
    });

    test('Sparkplug: a rebirth request brings a birth, and a lost broker a larger bdSeq', async () => {
      const mosquitto = await broker();
      const seen = await subscribe(mosquitto.port, 'spBv1.0/pocketmoe/#', 6);
      const device = begin('sparkplug', { url: `mqtt://127.0.0.1:${mosquitto.port}`, pollMs: 20 });
      device.produce(2);
      await device.drained();
      const host = await Consumer.connect(mosquitto.port);
      close.push(() => host.close());
      const { topic, payload } = rebirthRequest('pocketmoe', 'oven-7');
      await host.client.publishAsync(topic, Buffer.from(payload), { qos: 0 });
      await host.until(() => host.messages.some((m) => m.type === 'birth'));
      await device.transport.stop(500);
      const decoder = new Decoder();
      const decoded = (await seen.messages)
        .map((m) => decoder.decode(m.topic, m.payload))
        .filter((m) => m !== null);
      const short = (m: FleetMessage) => [m.type, 'connection' in m ? m.connection : 0];
      expect(decoded.map(short).slice(0, 5)).toEqual([
        ['birth', 0],
        ['values', 0],
        ['values', 0],
        ['birth', 0],
        ['death', 0],
      ]);
      device.transport.start();
      await host.until(() => host.messages.some((m) => m.type === 'birth' && m.connection === 1));
    });

    test('TLS with client certificates: the access list lets a device speak for itself only', async () => {
      const mosquitto = new Mosquitto(await freePort());
      close.push(() => mosquitto.remove());
      const { path, read } = makeCertificates(mosquitto.folder, 'oven-7');
      const acl = mosquitto.file('acl', 'pattern write pocketmoe/%u/#\n');
      await mosquitto.start([
        `cafile ${path('ca.pem')}`,
        `certfile ${path('broker.pem')}`,
        `keyfile ${path('broker.key')}`,
        'require_certificate true',
        'use_identity_as_username true',
        `acl_file ${acl}`,
      ]);
      const options = {
        url: `mqtts://127.0.0.1:${mosquitto.port}`,
        ca: read('ca.pem'),
        certificate: read('device.pem'),
        key: read('device.key'),
      };
      const honest = begin('positions', options);
      honest.produce(5);
      await honest.drained();
      expect(honest.errors).toEqual([]);
      const impostor = begin('positions', { ...options, device: 'oven-8' });
      impostor.produce(1);
      while (impostor.errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(impostor.errors[0]).toMatchObject({ code: 'telemetry/refused' });
      expect(impostor.spool.records).toHaveLength(1);
      const { certificate: _certificate, key: _key, ...without } = options;
      const stranger = begin('positions', without);
      while (stranger.errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(stranger.transport.statistics().connections).toBe(0);
      const misled = begin('positions', { ...options, ca: read('device.pem') });
      while (misled.errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      expect(misled.errors[0]).toMatchObject({ code: 'telemetry/unreachable' });
    }, 30_000);

    test('user names and passwords, over WebSocket too', async () => {
      const mosquitto = new Mosquitto(await freePort());
      close.push(() => mosquitto.remove());
      const web = await freePort();
      // "secret", as mosquitto_passwd would store it is salted; plain text is hashed with mosquitto_passwd -U
      const passwords = mosquitto.file('passwords', 'oven-7:secret\n');
      const hashed = spawn(tool('mosquitto_passwd')!, ['-U', passwords], { stdio: 'ignore' });
      await new Promise((resolve) => hashed.on('exit', resolve));
      await mosquitto.start([
        `password_file ${passwords}`,
        'allow_anonymous false',
        `listener ${web} 127.0.0.1`,
        'protocol websockets',
      ]);
      for (const [url, protocolVersion] of [
        [`mqtt://127.0.0.1:${mosquitto.port}`, 4],
        [`ws://127.0.0.1:${web}`, 5],
      ] as const) {
        const device = begin('positions', { url, protocolVersion, username: 'oven-7', password: 'secret' });
        device.produce(3);
        await device.drained();
        await device.transport.stop(500);
        expect(device.errors).toEqual([]);
        const wrong = begin('positions', { url, protocolVersion, username: 'oven-7', password: 'guess' });
        while (wrong.errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
        expect(wrong.errors[0]).toMatchObject({ code: 'telemetry/refused' });
        await wrong.transport.stop(100);
      }
    });
  });
else
  test('without mosquitto on this machine, CI runs these tests', () => {
    expect(process.env['CI']).not.toBe('true');
  });
