import type { Board } from './board.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Micro-units of any battery on a device: 1 kWh, 1 kA, 1 kV. */
const MOST = 1e9;

export type BatteryStatus = 'charging' | 'discharging' | 'full' | 'idle' | 'unknown';

export interface BatteryReading {
  /** Charge left of what the battery holds when full; over several batteries together. */
  readonly percent: number;
  readonly status: BatteryStatus;
  /** Power out of the batteries; negative while charging. */
  readonly watts: number | null;
  /** The hottest battery. */
  readonly celsius: number | null;
  /** What a full battery holds, of what it held when new. */
  readonly healthPercent: number | null;
  readonly cycles: number | null;
  readonly batteries: number;
}

interface Battery {
  percent: number;
  status: BatteryStatus;
  watts: number | null;
  celsius: number | null;
  health: number | null;
  cycles: number | null;
  /** What it holds when full, in `unit`. */
  full: number | null;
  unit: 'energy' | 'charge';
}

const STATUSES: Record<string, BatteryStatus> = {
  Charging: 'charging',
  Discharging: 'discharging',
  Full: 'full',
  'Not charging': 'idle',
};

/** Batteries that feed the device (/sys/class/power_supply); those of mice and keyboards are left out. */
export class BatterySensor implements Sensor<BatteryReading> {
  readonly #board: Board;
  readonly #found: Rescan<readonly string[]>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#found = new Rescan(
      () =>
        board
          .names('sys/class/power_supply', /^[\w.:-]+$/)
          .map((name) => `sys/class/power_supply/${name}`)
          .filter((p) => board.text(`${p}/type`) === 'Battery' && board.text(`${p}/scope`) !== 'Device'),
      now,
    );
  }

  read(): BatteryReading | null {
    const all = this.#found.get().flatMap((path) => batteryAt(this.#board, path) ?? []);
    if (all.length === 0) return null;
    const known = <T>(values: (T | null)[]): T[] => values.filter((value): value is T & {} => value !== null);
    const watts = known(all.map((b) => b.watts));
    const celsius = known(all.map((b) => b.celsius));
    const health = known(all.map((b) => b.health));
    const cycles = known(all.map((b) => b.cycles));
    return {
      percent: percentOf(all),
      status: statusOf(all.map((b) => b.status)),
      watts: watts.length > 0 ? watts.reduce((a, b) => a + b, 0) : null,
      celsius: celsius.length > 0 ? Math.max(...celsius) : null,
      healthPercent: health.length > 0 ? Math.min(...health) : null,
      cycles: cycles.length > 0 ? Math.max(...cycles) : null,
      batteries: all.length,
    };
  }
}

function batteryAt(board: Board, path: string): Battery | null {
  if (board.text(`${path}/present`) === '0') return null;
  const micro = (name: string, low = 0) => board.integer(`${path}/${name}`, low, MOST);
  const unit = micro('energy_full', 1) !== null ? 'energy' : 'charge';
  const full = micro(`${unit}_full`, 1);
  const now = micro(`${unit}_now`);
  const percent =
    board.integer(`${path}/capacity`, 0, 100) ??
    (full !== null && now !== null ? Math.min(100, (100 * now) / full) : null);
  if (percent === null) return null;
  const status = STATUSES[board.text(`${path}/status`) ?? ''] ?? 'unknown';
  const amperes = micro('current_now', -MOST);
  const volts = micro('voltage_now', 1);
  const power =
    micro('power_now', -MOST) ?? (amperes !== null && volts !== null ? (amperes * volts) / 1e6 : null);
  // drivers disagree on the sign, the status decides
  const size = power === null ? null : Math.abs(power) / 1e6;
  const tenths = board.integer(`${path}/temp`, -600, 2500);
  const design = micro(`${unit}_full_design`, 1);
  return {
    percent,
    status,
    watts: size === null || status === 'unknown' ? null : status === 'charging' ? 0 - size : size,
    celsius: tenths === null ? null : tenths / 10,
    health: full !== null && design !== null ? Math.min(100, (100 * full) / design) : null,
    cycles: board.integer(`${path}/cycle_count`, 0, 100_000),
    full,
    unit,
  };
}

/** Larger batteries count more, where all tell their size in the same unit. */
function percentOf(all: readonly Battery[]): number {
  const comparable = all.every((b) => b.full !== null && b.unit === all[0]!.unit);
  const weight = (b: Battery) => (comparable ? b.full! : 1);
  const total = all.reduce((sum, b) => sum + weight(b), 0);
  return all.reduce((sum, b) => sum + b.percent * weight(b), 0) / total;
}

function statusOf(all: readonly BatteryStatus[]): BatteryStatus {
  for (const status of ['discharging', 'charging'] as const) if (all.includes(status)) return status;
  if (all.every((s) => s === 'full')) return 'full';
  return all.includes('unknown') ? 'unknown' : 'idle';
}
