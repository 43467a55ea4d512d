import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { OptionError } from '../../sdk/index.js';
import { TelemetryError } from '../../sdk/fleet/index.js';
import type { Outgoing } from './encoding.js';

/** Where the broker is, and how to be let in. */
export interface BrokerOptions {
  /** mqtt://, mqtts://, ws:// or wss://, host and port. */
  url: string;
  /** 4: MQTT 3.1.1. 5: MQTT 5. Default 5. */
  protocolVersion?: 4 | 5;
  /** Default: the device's name. A broker lets one client with an id in. */
  clientId?: string;
  username?: string;
  password?: string;
  /** PEM. The broker's certificate is always checked, with this authority or the system's. */
  ca?: string | Buffer;
  /** PEM of the client's certificate and key. */
  certificate?: string | Buffer;
  key?: string | Buffer;
  /** Seconds between signs of life. Default 30. */
  keepaliveSeconds?: number;
  /** How long connecting may take, in ms. Default 10,000. */
  connectMs?: number;
}

/** How long the broker may take to acknowledge, in ms; then the connection counts as dead. */
const ANSWER_MS = 30_000;
const PROTOCOLS = ['mqtt:', 'mqtts:', 'ws:', 'wss:'];
/** MQTT 5, 3.14.2.1: leave, and have the Will published. */
const WITH_WILL = 0x04;

/** Throws OptionError for a URL that is none of a broker. */
export function checkBroker({ url, protocolVersion = 5 }: BrokerOptions): void {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !PROTOCOLS.includes(parsed.protocol) || parsed.hostname === '')
    throw new OptionError(
      'option/broker',
      `the broker's address is not a URL with ${PROTOCOLS.join(' ')}`,
      'Give one like mqtts://broker.example:8883.',
    );
  if (protocolVersion !== 4 && protocolVersion !== 5)
    throw new OptionError('option/broker', `MQTT version ${String(protocolVersion)}`, 'Use 4 (3.1.1) or 5.');
}

/**
 * One connection to a broker, from CONNECT to its end; it does not come back. The library's own queue and reconnect are
 * off: nothing is kept here that is not kept in the spool.
 */
export class Connection {
  readonly #client: MqttClient;
  /** Rejects, with what ended it. */
  readonly #ended: Promise<never>;
  #end: (error: Error) => void = () => {};
  #over = false;

  private constructor(
    client: MqttClient,
    private readonly version: 4 | 5,
  ) {
    this.#client = client;
    this.#ended = new Promise((_, reject) => (this.#end = reject));
    this.#ended.catch(() => (this.#over = true));
    client.on('close', () =>
      this.#end(new TelemetryError('telemetry/closed', 'the connection was closed', HINT)),
    );
    client.on('error', (error) => this.#end(failure(error)));
    client.on('disconnect', (packet) =>
      this.#end(refusal('the broker disconnected', packet.reasonCode ?? 0)),
    );
  }

  /** Longest payload and most unacknowledged messages the broker takes (MQTT 5 says so). */
  limits = { packetBytes: Infinity, window: Infinity };

  /** Connects. Throws TelemetryError: telemetry/refused, telemetry/unreachable, telemetry/closed. */
  static async open(
    { url, protocolVersion = 5, clientId, username, password, ca, certificate, key, ...rest }: BrokerOptions,
    device: string,
    will: Outgoing,
    onMessage: (topic: string, payload: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<Connection> {
    const options: IClientOptions = {
      protocolVersion,
      clientId: clientId ?? device,
      clean: true,
      keepalive: rest.keepaliveSeconds ?? 30,
      connectTimeout: rest.connectMs ?? 10_000,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      rejectUnauthorized: true,
      manualConnect: true,
      will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain },
      ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 0 } } : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { ca }),
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
    };
    const client = mqtt.connect(url, options);
    const connection = new Connection(client, protocolVersion);
    const aborted = () => connection.end(new TelemetryError('telemetry/closed', 'the agent stops', HINT));
    signal.addEventListener('abort', aborted);
    void connection.ended.then(() => signal.removeEventListener('abort', aborted));
    if (signal.aborted) aborted();
    try {
      const connected = new Promise<void>((resolve) =>
        client.once('connect', ({ properties }) => {
          connection.limits = {
            packetBytes: properties?.maximumPacketSize ?? Infinity,
            window: properties?.receiveMaximum ?? Infinity,
          };
          resolve();
        }),
      );
      client.on('message', (topic, payload) => onMessage(topic, payload));
      client.connect();
      await Promise.race([connected, connection.#ended]);
      return connection;
    } catch (error) {
      await connection.drop();
      throw error;
    }
  }

  /** Gives the connection up, for this reason. */
  end(error: Error): void {
    this.#end(error);
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Resolves when the connection has ended, with the reason. */
  get ended(): Promise<Error> {
    return this.#ended.then(
      () => new Error('unreachable'),
      (error: Error) => error,
    );
  }

  /** QoS 1: until acknowledged. QoS 0: until written. Throws TelemetryError; telemetry/refused when the broker said no. */
  async publish({ topic, payload, qos, retain }: Outgoing): Promise<void> {
    const done = new Promise<void>((resolve, reject) =>
      this.#client.publish(topic, Buffer.from(payload), { qos, retain }, (error) =>
        error ? reject(failure(error)) : resolve(),
      ),
    );
    await this.#answer(done);
  }

  /** Subscribes with QoS 1. Throws TelemetryError, also when the broker refused. */
  async subscribe(topics: readonly string[]): Promise<void> {
    const done = new Promise<void>((resolve, reject) =>
      this.#client.subscribe([...topics], { qos: 1 }, (error, granted) => {
        if (error) return reject(failure(error));
        const no = granted?.find(({ qos }) => qos >= 128);
        if (no) return reject(refusal(`the broker refused to let ${no.topic} be read`, no.qos));
        resolve();
      }),
    );
    await this.#answer(done);
  }

  /** Leaves. `withWill`: asks an MQTT 5 broker to publish the Will. Never throws. */
  async leave(withWill: boolean): Promise<void> {
    if (!this.#over) {
      const options = withWill && this.version === 5 ? { reasonCode: WITH_WILL } : {};
      await Promise.race([this.#client.endAsync(false, options), sleep(1000)]).catch(() => {});
    }
    await this.drop();
  }

  /** Cuts the connection; the broker publishes the Will. Never throws. */
  async drop(): Promise<void> {
    this.#end(new TelemetryError('telemetry/closed', 'the connection was given up', HINT));
    this.#client.on('error', () => {}); // too late to matter
    await Promise.race([this.#client.endAsync(true), sleep(1000)]).catch(() => {});
    this.#client.stream?.destroy();
  }

  async #answer(done: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new TelemetryError('telemetry/closed', 'the broker does not answer', HINT);
        this.#end(error);
        reject(error);
      }, ANSWER_MS);
    });
    done.catch(() => {}); // when the connection ended first
    try {
      await Promise.race([done, this.#ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

const HINT = 'The records stay in the spool; the agent tries again by itself.';

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());

const refusal = (what: string, code: number) =>
  new TelemetryError(
    'telemetry/refused',
    `${what} (reason 0x${code.toString(16)})`,
    "Check the device's credentials and what the broker lets it do.",
  );

/** The library's errors carry the broker's reason code as `code`, the system's a name. */
function failure(error: Error & { code?: number | string }): TelemetryError {
  if (error instanceof TelemetryError) return error;
  if (typeof error.code === 'number') return refusal('the broker refused', error.code);
  const code = typeof error.code === 'string' ? `${error.code} ` : '';
  return new TelemetryError(
    'telemetry/unreachable',
    `the broker cannot be reached: ${code}${error.message}`,
    HINT,
  );
}
