import type { MetricKind, SeriesClass } from '../../sdk/fleet/index.js';

/** What a metric says. Names are OpenTelemetry's where it has one; the others begin with moe, edge, spool or ota. */
export interface Metric {
  readonly name: string;
  readonly kind: MetricKind;
  /** UCUM, as in OpenTelemetry: s, By, Cel, W, 1 (a share), {token}. Empty for info. */
  readonly unit: string;
  /** Names of the attributes, each with its values where they are known. */
  readonly attributes: Readonly<Record<string, readonly string[] | 'any'>>;
  /**
   * sample: sent every second or so. debug: seldom, and given up first when space is short. birth: text that does not
   * change while the agent runs, in births only.
   */
  readonly class: SeriesClass | 'birth';
  readonly description: string;
  /** Histograms: upper bounds of all buckets but the last. */
  readonly bounds?: readonly number[];
  /** The attribute whose indices a list of values runs over. */
  readonly over?: string;
  /** Defined by OpenTelemetry's semantic conventions, with this meaning. */
  readonly standard?: true;
}

/** Seconds. OpenTelemetry's buckets, extended: an expert that comes from flash for the first time takes its time. */
const REQUEST_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 120, 240, 480];
const FIRST_TOKEN_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 120];
const TOKEN_SECONDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];

type Rest = Partial<Pick<Metric, 'attributes' | 'class' | 'bounds' | 'over' | 'standard'>>;

const metric =
  <const K extends MetricKind>(kind: K, group: Metric['class'] = 'sample') =>
  <const N extends string>(name: N, unit: string, description: string, rest: Rest = {}) => ({
    name,
    kind,
    unit,
    attributes: {},
    class: group,
    description,
    ...rest,
  });

const counter = metric('counter');
const gauge = metric('gauge');
const histogram = metric('histogram');
const text = metric('info', 'birth');
const info = <const N extends string>(name: N, description: string, standard?: true) =>
  text(name, '', description, standard ? { standard } : {});

const RESULTS = { result: ['hit', 'miss', 'late'] } as const;

/**
 * Everything the agent reports, in the order of births and samples. The one source of truth: the documents
 * (scripts/telemetry-docs.ts) and the registry are made from it. Counters and histograms are cumulative since the boot
 * began; there are no ratios, so samples can be lost and fleets added up.
 */
export const METRICS = [
  info('device.id', 'Name of the device, unique in the fleet.', true),
  info('device.model.identifier', 'Model of the board.', true),
  info('service.version', 'Version of PocketMoE.', true),
  info('host.arch', 'Processor architecture.', true),
  info('os.version', 'Version of the kernel.', true),
  info('gen_ai.request.model', 'Name of the language model.', true),
  info('moe.model.digest', 'SHA-256 of the model in use.'),
  info('moe.model.architecture', 'Family of the model.'),
  info('moe.kernel.isa', 'Instruction set the kernels run with.'),
  info('moe.cache.policy', 'Which experts make room for others.'),
  info('moe.flash.backend', 'How flash is read.'),

  histogram('gen_ai.server.request.duration', 's', 'Time of a whole request.', {
    bounds: REQUEST_SECONDS,
    standard: true,
  }),
  histogram('gen_ai.server.time_to_first_token', 's', 'Time from the request to its first token.', {
    bounds: FIRST_TOKEN_SECONDS,
    standard: true,
  }),
  histogram(
    'gen_ai.server.time_per_output_token',
    's',
    'Mean time per token after the first, a value per request.',
    {
      bounds: TOKEN_SECONDS,
      standard: true,
    },
  ),
  counter('moe.requests', '{request}', 'Requests that ended.', {
    attributes: { result: ['end', 'length', 'context', 'cancelled', 'error'] },
  }),
  counter('moe.tokens', '{token}', 'Tokens read (input) and written (output).', {
    attributes: { 'gen_ai.token.type': ['input', 'output'] },
  }),
  counter('moe.tokens.reused', '{token}', 'Tokens of prompts that a session already held.'),
  counter('moe.tokens.computed', '{token}', 'Tokens that went through the layers.'),

  counter(
    'moe.expert.requests',
    '{request}',
    'Experts asked for. hit: in memory; miss: read from flash in time; late: read, and computation waited for it.',
    { attributes: RESULTS },
  ),
  counter('moe.expert.evictions', '{expert}', 'Experts that made room for others.'),
  counter('moe.prefetch.issued', '{expert}', 'Experts read ahead of being asked for.'),
  counter('moe.prefetch.used', '{expert}', 'Experts read ahead and then asked for.'),
  counter('moe.prefetch.wasted', '{expert}', 'Experts read ahead and evicted unused.'),
  counter('moe.flash.read', 'By', 'Bytes read from flash.'),
  counter('moe.flash.operations', '{operation}', 'Reads from flash.'),
  counter('moe.flash.errors', '{error}', 'Reads that failed, and reads whose checksum was wrong.', {
    attributes: { 'error.type': ['failed', 'corrupt'] },
  }),
  counter('moe.flash.stall', 's', 'Time in which nothing could be computed for lack of data.'),
  gauge('moe.cache.slots', '{expert}', 'Experts that memory has room for.'),
  gauge('moe.cache.size', 'By', 'Memory of these slots.'),
  gauge('moe.cache.resident', '{expert}', 'Experts in memory.'),
  gauge('moe.memory.budget', 'By', 'Memory the process may use.'),
  gauge('moe.memory.peak', 'By', 'Most memory the process ever had resident.'),
  gauge('process.memory.usage', 'By', 'Memory the process has resident.', { standard: true }),

  gauge('system.memory.usage', 'By', "The board's memory.", {
    attributes: { 'system.memory.state': ['used', 'free'] },
    standard: true,
  }),
  counter('edge.pressure', 's', 'Time in which some or all tasks waited for memory (PSI).', {
    attributes: { scope: ['some', 'full'] },
  }),
  gauge('hw.temperature', 'Cel', 'Temperature by sensor.', {
    attributes: { 'hw.id': 'any' },
    standard: true,
  }),
  gauge('hw.battery.charge', '1', 'Charge left, 0 to 1.', { attributes: { 'hw.id': 'any' }, standard: true }),
  gauge('hw.power', 'W', 'Power by meter.', { attributes: { 'hw.id': 'any' }, standard: true }),
  gauge('edge.throttle.active', '1', '1 while the processor is slowed, else 0.'),
  counter('edge.throttle.time', 's', 'Time in which the processor was seen slowed.'),
  gauge('edge.flash.wear', '1', "Share of the flash device's guaranteed life that is used.", {
    attributes: { 'hw.id': 'any' },
  }),

  counter('edge.governor.decisions', '{decision}', 'Changes the governor made.'),
  gauge('ota.state', '1', 'Place in the list of update states.'),
  gauge('ota.counter', '1', 'Release counter in force.'),
  counter('ota.bytes_fetched', 'By', 'Bytes of updates fetched.'),
  counter('ota.bytes_reused', 'By', 'Bytes of updates taken from what was there.'),
  counter('ota.rollbacks', '{rollback}', 'Updates taken back, by reason.', {
    attributes: { 'ota.rollback_reason': 'any' },
  }),

  gauge('spool.bytes', 'By', 'Records that wait, in bytes.'),
  gauge('spool.records', '{record}', 'Records that wait.'),
  counter('spool.dropped', '{record}', 'Records given up for lack of space, by class.', {
    attributes: { class: ['debug', 'sample', 'event', 'alarm', 'update'] },
  }),
  counter(
    'edge.telemetry.undeliverable',
    '{record}',
    'Records that no broker would take: too long or damaged.',
  ),
  counter('edge.telemetry.connections', '{connection}', 'Connections made to a broker.'),
  counter('edge.errors', '{error}', 'Errors by code.', { attributes: { 'error.type': 'any' } }),

  counter('moe.layer.expert.requests', '{request}', 'moe.expert.requests of one layer.', {
    attributes: { layer: 'any', ...RESULTS },
    class: 'debug',
  }),
  counter('moe.layer.expert.evictions', '{expert}', 'moe.expert.evictions of one layer.', {
    attributes: { layer: 'any' },
    class: 'debug',
  }),
  counter('moe.layer.flash.read', 'By', 'Bytes of experts of one layer asked from flash.', {
    attributes: { layer: 'any' },
    class: 'debug',
  }),
  counter('moe.layer.flash.stall', 's', 'moe.flash.stall in one layer.', {
    attributes: { layer: 'any' },
    class: 'debug',
  }),
  counter('moe.activation.rows', '{row}', 'Gate rows computed, and those that were not zero.', {
    attributes: { state: ['total', 'active'] },
    class: 'debug',
  }),
  counter('moe.router.load', '{request}', 'How often each expert of a layer was chosen.', {
    attributes: { layer: 'any' },
    class: 'debug',
    over: 'expert',
  }),
] as const satisfies readonly Metric[];

export type MetricName = (typeof METRICS)[number]['name'];

const BY_NAME: ReadonlyMap<string, Metric> = new Map(METRICS.map((m) => [m.name, m]));
const PLACE: ReadonlyMap<string, number> = new Map(METRICS.map((m, i) => [m.name, i]));

export const metricNamed = (name: MetricName): Metric => BY_NAME.get(name)!;
/** Place in {@link METRICS}. */
export const metricPlace = (name: string): number => PLACE.get(name) ?? METRICS.length;
