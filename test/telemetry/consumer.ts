import mqtt, { type MqttClient } from 'mqtt';
import { Decoder, Deduplicator, type FleetMessage, type FleetRecord } from '../../sdk/fleet/index.js';

/** What a fleet's server does: listens to everything, decodes, drops what it has. Comes back when the broker does. */
export class Consumer {
  readonly messages: FleetMessage[] = [];
  readonly records: FleetRecord[] = [];
  readonly errors: Error[] = [];
  duplicates = 0;
  readonly #decoder = new Decoder();
  readonly #seen = new Deduplicator();
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  private constructor(readonly client: MqttClient) {}

  static async connect(port: number, protocolVersion: 4 | 5 = 4, clientId = 'consumer'): Promise<Consumer> {
    // a session that lasts, so that the broker keeps what comes while this end is away
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
      protocolVersion,
      clientId,
      clean: false,
      reconnectPeriod: 50,
      ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
    });
    const consumer = new Consumer(client);
    client.on('error', () => {}); // the broker is down: tried again
    client.on('message', (topic, payload) => consumer.#take(topic, payload));
    await new Promise((resolve) => client.once('connect', resolve));
    await client.subscribeAsync(['pocketmoe/#', 'spBv1.0/#'], { qos: 1 });
    return consumer;
  }

  /** Until the condition holds; asked after every message. */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done, resolve }));
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }

  #take(topic: string, payload: Uint8Array): void {
    try {
      const message = this.#decoder.decode(topic, payload);
      if (!message) return;
      this.messages.push(message);
      if (message.type === 'values' || message.type === 'event') {
        if (this.#seen.isNew(message)) this.records.push(message);
        else this.duplicates++;
      }
    } catch (error) {
      this.errors.push(error as Error);
    }
    const ready = this.#waiting.filter(({ done }) => done());
    this.#waiting = this.#waiting.filter((w) => !ready.includes(w));
    for (const { resolve } of ready) resolve();
  }
}
