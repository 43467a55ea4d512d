import { OptionError } from '../../sdk/index.js';
import { checkName, TelemetryError } from '../../sdk/fleet/index.js';
import { MAXIMUM_PAYLOAD_BYTES, type SpoolRecord } from '../spool/record.js';
import { Backoff, type BackoffOptions } from './backoff.js';
import { type BrokerOptions, checkBroker, Connection } from './connection.js';
import type { Encoding, Outgoing } from './encoding.js';

/** Brokers cut off above these: mosquitto at 20 in flight, AWS IoT Core at 128 KB. */
export const MAXIMUM_WINDOW = 20;

/** What the transport needs of a spool. */
export interface RecordSource {
  /** The oldest records that were not released, in order. */
  read(limit: number): Promise<readonly SpoolRecord[]>;
  /** The broker has this record and all before it. */
  release(record: SpoolRecord): Promise<void>;
}

export interface TransportOptions extends BrokerOptions {
  /** Name of the device. */
  device: string;
  /** Records under way at once, 1 to 20. Default 20. */
  window?: number;
  /** Records per second, while catching up too. Default 100. */
  recordsPerSecond?: number;
  /** How often the spool is looked at when nobody calls wake(), in ms. Default 1,000. */
  pollMs?: number;
  backoff?: BackoffOptions;
  /** Of records and births, ms since 1970. Default Date.now. */
  now?: () => number;
}

export type TransportState = 'stopped' | 'connecting' | 'connected' | 'waiting';

export interface TransportStatistics {
  readonly state: TransportState;
  readonly connections: number;
  readonly births: number;
  /** Records the broker acknowledged; those sent again count again. */
  readonly delivered: number;
  /** Records released unsent, since no broker or consumer would ever take them. */
  readonly undeliverable: number;
  /** Why the last connection or attempt ended. */
  readonly lastError: string | null;
}

interface Flight {
  readonly record: SpoolRecord;
  done: boolean;
}

/**
 * Brings the spool's records to a broker, oldest first, and lets the spool forget each only when the broker has it. Sent
 * again after a lost connection, a record may arrive twice; it carries its identity, and consumers drop the second.
 * Memory is bounded by the window; whatever fails, it tries again, later and later.
 */
export class Transport {
  readonly #options: Required<Omit<TransportOptions, keyof BrokerOptions | 'backoff'>> & BrokerOptions;
  readonly #backoff: Backoff;
  #state: TransportState = 'stopped';
  #connections = 0;
  #births = 0;
  #delivered = 0;
  #undeliverable = 0;
  #lastError: string | null = null;
  #running: Promise<void> | null = null;
  #stopping = { asked: false, deadline: 0, abort: new AbortController() };
  #woken = false;
  #resume: () => void = () => {};
  #rebirth = false;
  #tokens = 1;
  #refilled = 0;
  #releasing: Promise<void> = Promise.resolve();

  /** Called when a connection or an attempt ends, and when a record is given up. */
  onError: (error: Error) => void = () => {};

  /** Throws OptionError, TelemetryError (telemetry/name). */
  constructor(
    private readonly source: RecordSource,
    private readonly encoding: Encoding,
    {
      window = MAXIMUM_WINDOW,
      recordsPerSecond = 100,
      pollMs = 1000,
      now = Date.now,
      backoff,
      ...rest
    }: TransportOptions,
  ) {
    checkBroker(rest);
    checkName('the device', rest.device);
    if (!Number.isInteger(window) || window < 1 || window > MAXIMUM_WINDOW)
      throw new OptionError('option/window', `window is ${window}`, `Give 1 to ${MAXIMUM_WINDOW}.`);
    if (!(recordsPerSecond > 0))
      throw new OptionError(
        'option/recordsPerSecond',
        `recordsPerSecond is ${recordsPerSecond}`,
        'Give more than 0.',
      );
    this.#options = { window, recordsPerSecond, pollMs, now, ...rest };
    this.#backoff = new Backoff(backoff);
  }

  /** Begins, and returns at once. */
  start(): void {
    if (this.#running) return;
    this.#stopping = { asked: false, deadline: 0, abort: new AbortController() };
    this.#running = this.#run();
  }

  /** A record was appended: send it now rather than at the next poll. */
  wake(): void {
    this.#woken = true;
    this.#resume();
  }

  /** Sends what waits for at most `drainMs`, says goodbye, disconnects. The rest stays in the spool. */
  async stop(drainMs = 2000): Promise<void> {
    if (!this.#running) return;
    this.#stopping.asked = true;
    this.#stopping.deadline = performance.now() + drainMs;
    const timer = setTimeout(() => this.#stopping.abort.abort(), drainMs + 500);
    this.wake();
    await this.#running;
    clearTimeout(timer);
    this.#running = null;
  }

  statistics(): TransportStatistics {
    return {
      state: this.#state,
      connections: this.#connections,
      births: this.#births,
      delivered: this.#delivered,
      undeliverable: this.#undeliverable,
      lastError: this.#lastError,
    };
  }

  async #run(): Promise<void> {
    while (!this.#stopping.asked) {
      try {
        await this.#connection();
      } catch (error) {
        this.#failed(error as Error);
      }
      if (this.#stopping.asked) break;
      this.#state = 'waiting';
      const until = performance.now() + this.#backoff.next();
      while (!this.#stopping.asked && performance.now() < until) await this.#pause(until - performance.now());
    }
    this.#state = 'stopped';
  }

  /** One connection, until it ends (throws why) or stopping was asked. */
  async #connection(): Promise<void> {
    this.#state = 'connecting';
    const { encoding } = this;
    const connection = await Connection.open(
      this.#options,
      this.#options.device,
      encoding.connect(),
      (topic, payload) => {
        if (!encoding.asksRebirth(topic, payload)) return;
        this.#rebirth = true;
        this.wake();
      },
      this.#stopping.abort.signal,
    );
    void connection.ended.then(() => this.wake());
    try {
      if (encoding.subscriptions.length > 0) await connection.subscribe(encoding.subscriptions);
      await this.#birth(connection);
      this.#connections++;
      this.#state = 'connected';
      await this.#deliver(connection);
      const farewell = async () => {
        for (const message of encoding.farewell(this.#options.now())) await connection.publish(message);
      };
      // a broker that hangs must not hold up the end: the Will says the same
      await Promise.race([farewell(), sleep(Math.max(500, this.#stopping.deadline - performance.now()))]);
      await connection.leave(!encoding.acknowledged);
    } finally {
      await connection.drop();
    }
  }

  async #birth(connection: Connection): Promise<void> {
    this.#rebirth = false;
    for (const message of await this.encoding.birth(this.#options.now())) await connection.publish(message);
    this.#births++;
  }

  /** Sends records until the connection ends (throws) or, when stopping, until none are left or time is up. */
  async #deliver(connection: Connection): Promise<void> {
    const window = Math.min(this.#options.window, connection.limits.window);
    const flights: Flight[] = [];
    for (;;) {
      if (connection.isOver) throw await connection.ended;
      if (this.#rebirth) await this.#birth(connection);
      const stopping = this.#stopping.asked;
      if (stopping && performance.now() >= this.#stopping.deadline) return;
      const room = Math.min(window - flights.length, this.#allowance());
      let idle = true;
      if (room > 0) {
        const records = (await this.source.read(window)).filter(
          (r) => !flights.some(({ record }) => same(record, r)),
        );
        for (const record of records.slice(0, room)) {
          idle = false;
          this.#tokens--;
          await this.#send(connection, flights, record);
          if (this.#rebirth) break;
        }
        if (!this.encoding.acknowledged && flights.length > 0) await this.#settle(connection, flights);
        if (stopping && records.length === 0 && flights.length === 0) return;
      }
      if (idle) await this.#pause(flights.length === 0 && this.#allowance() > 0 ? this.#options.pollMs : 20);
    }
  }

  async #send(connection: Connection, flights: Flight[], record: SpoolRecord): Promise<void> {
    const flight: Flight = { record, done: false };
    let messages: Outgoing[];
    try {
      messages = await this.encoding.record(record, this.#options.now());
      const largest = Math.min(MAXIMUM_PAYLOAD_BYTES + 256, connection.limits.packetBytes - 256);
      const { length } = messages.at(-1)!.payload;
      if (length > largest)
        throw new TelemetryError(
          'telemetry/size',
          `a record of ${length} bytes`,
          `At most ${largest} are sent.`,
        );
    } catch (error) {
      if (!(error instanceof TelemetryError)) throw error;
      this.#undeliverable++;
      this.onError(error);
      flight.done = true;
      flights.push(flight);
      if (this.encoding.acknowledged) await this.#release(flights);
      return;
    }
    flights.push(flight);
    for (const message of messages.slice(0, -1)) await connection.publish(message);
    const sent = connection.publish(messages.at(-1)!);
    if (!this.encoding.acknowledged) return sent;
    void sent
      .then(() => {
        flight.done = true;
        this.#delivered++;
        this.#backoff.reset();
        return this.#release(flights).then(() => this.wake());
      })
      // the broker said no, or the spool failed: nothing is lost, but going on would lose the order
      .catch((error: Error) => connection.end(error));
  }

  /** Releases the records at the front that the broker has. */
  #release(flights: Flight[]): Promise<void> {
    this.#releasing = this.#releasing.then(async () => {
      const open = flights.findIndex(({ done }) => !done);
      const count = open === -1 ? flights.length : open;
      if (count === 0) return;
      await this.source.release(flights[count - 1]!.record);
      flights.splice(0, count); // only now: until then the spool still offers them
    });
    const result = this.#releasing;
    this.#releasing = result.catch(() => {});
    return result;
  }

  /**
   * Records with QoS 0 are not acknowledged. A broker handles a client's packets in order, so once it has answered a
   * subscription that came after them, it has them.
   */
  async #settle(connection: Connection, flights: Flight[]): Promise<void> {
    await connection.subscribe(this.encoding.subscriptions);
    for (const flight of flights) {
      if (!flight.done) this.#delivered++;
      flight.done = true;
    }
    this.#backoff.reset();
    await this.#release(flights);
  }

  /** Records that may be sent now: a bucket that fills at the permitted rate and holds a window. */
  #allowance(): number {
    const now = performance.now();
    const { recordsPerSecond, window } = this.#options;
    this.#tokens = Math.min(window, this.#tokens + ((now - this.#refilled) / 1000) * recordsPerSecond);
    this.#refilled = now;
    return Math.floor(this.#tokens);
  }

  #failed(error: Error): void {
    this.#lastError = error.message;
    this.onError(error);
  }

  /** Until woken, at most `ms`. */
  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (!this.#woken)
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
        timer = setTimeout(resolve, ms);
      });
    clearTimeout(timer);
    this.#woken = false;
  }
}

const same = (a: SpoolRecord, b: SpoolRecord) => a.sequence === b.sequence && a.boot === b.boot;
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
