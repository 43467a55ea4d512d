import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { Aedes } from 'aedes';
import { Consumer } from './consumer.js';
import { Device, type EncodingName } from './delivery.js';

class Broker {
  private constructor(
    readonly aedes: Aedes,
    readonly server: Server,
    readonly sockets: Set<Socket>,
  ) {}

  static async start(): Promise<Broker> {
    const aedes = await Aedes.createBroker();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.once('close', () => sockets.delete(socket)));
      aedes.handle(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Broker(aedes, server, sockets);
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.aedes.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

test.each<EncodingName>(['positions', 'names', 'sparkplug'])(
  'aedes, %s: what was produced arrives, in order, over cut connections',
  async (encoding) => {
    const broker = await Broker.start();
    open.push(broker);
    const consumer = await Consumer.connect(broker.port);
    open.push(consumer);
    const device = new Device(encoding, { url: `mqtt://127.0.0.1:${broker.port}`, protocolVersion: 4 });
    device.transport.start();
    open.push({ close: () => device.transport.stop(100) });
    device.produce(30);
    await device.drained();
    let cuts = 0;
    broker.aedes.on('publish', (_packet, client) => {
      // cut the device's connection in the middle of its records
      if (client?.id === 'oven-7' && ++cuts % 40 === 0) (client.conn as Socket).destroy();
    });
    device.produce(100);
    await device.drained();
    await consumer.until(() => consumer.records.length >= 130);
    expect(consumer.errors).toEqual([]);
    expect(consumer.records.map((r) => r.sequence)).toEqual(Array.from({ length: 130 }, (_, i) => i + 1));
    expect(device.transport.statistics().connections).toBeGreaterThan(1);
    const last = consumer.records.filter((r) => r.type === 'values').at(-1)!;
    const tokens = last.values.find(({ series }) => series.name === 'moe.tokens');
    expect(tokens?.value).toBe(last.sequence);
    await device.transport.stop(500);
    await consumer.until(() => consumer.messages.at(-1)?.type === 'death');
  },
);
