import type { Board } from './board.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Cooling devices that slow a processor; the others are fans. */
const SLOWS = /cpufreq|processor|devfreq|powerclamp|cpuidle|cpu-idle|gpu|thermal-cpu/i;
/** Bits of the Raspberry Pi firmware's word for "now": under-voltage, capped, throttled, soft temperature limit. */
const FIRMWARE_NOW = 0xf;
const FIRMWARE = 'sys/devices/platform/soc/soc:firmware/get_throttled';
const MOST_STATES = 1e6;

export interface CoolingDevice {
  readonly label: string;
  /** 0 is idle. */
  readonly state: number;
  readonly maximum: number;
}

export interface ThrottlingReading {
  /** A cooling device slows a processor now, or the firmware says so. */
  readonly active: boolean;
  /** Lowest allowed clock of a processor, of the highest it has. Lowered by cooling, but also by an owner's setting. */
  readonly clockPercent: number | null;
  /** Cooling devices that slow processors. */
  readonly cooling: readonly CoolingDevice[];
  /** Throttlings since the board started (x86). */
  readonly count: number | null;
  /** Under-voltage now (Raspberry Pi). */
  readonly underVoltage: boolean | null;
}

/** Cooling devices, clock limits, x86 throttle counters, Raspberry Pi firmware. */
export class ThrottlingSensor implements Sensor<ThrottlingReading> {
  readonly #board: Board;
  readonly #found: Rescan<ReturnType<typeof find>>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#found = new Rescan(() => find(board), now);
  }

  read(): ThrottlingReading | null {
    const board = this.#board;
    const { devices, clocks, counters, firmware } = this.#found.get();
    const cooling = devices.flatMap(({ label, path, maximum }) => {
      // intel_powerclamp says -1 when idle
      const state = board.integer(`${path}/cur_state`, -1, MOST_STATES);
      return state === null ? [] : { label, state: Math.max(0, state), maximum };
    });
    const percents = clocks.flatMap(({ path, highest }) => {
      const allowed = board.integer(`${path}/scaling_max_freq`, 1, 1e9);
      return allowed === null ? [] : Math.min(100, (100 * allowed) / highest);
    });
    const counts = counters.flatMap((path) => board.integer(path, 0, 1e12) ?? []);
    const word = firmware ? firmwareWord(board) : null;
    if (cooling.length === 0 && percents.length === 0 && counts.length === 0 && word === null) return null;
    return {
      active: cooling.some(({ state }) => state > 0) || (word !== null && (word & FIRMWARE_NOW) !== 0),
      clockPercent: percents.length > 0 ? Math.min(...percents) : null,
      cooling,
      count: counts.length > 0 ? counts.reduce((a, b) => a + b, 0) : null,
      underVoltage: word === null ? null : (word & 1) !== 0,
    };
  }
}

function firmwareWord(board: Board): number | null {
  const text = board.text(FIRMWARE);
  return text !== null && /^(0x)?[0-9a-f]{1,8}$/i.test(text) ? parseInt(text, 16) : null;
}

function find(board: Board) {
  return {
    devices: board.names('sys/class/thermal', /^cooling_device\d+$/).flatMap((name) => {
      const path = `sys/class/thermal/${name}`;
      const label = board.label(`${path}/type`) ?? '';
      const maximum = board.integer(`${path}/max_state`, 1, MOST_STATES);
      return SLOWS.test(label) && maximum !== null ? { label, path, maximum } : [];
    }),
    clocks: board.names('sys/devices/system/cpu/cpufreq', /^policy\d+$/).flatMap((name) => {
      const path = `sys/devices/system/cpu/cpufreq/${name}`;
      const highest = board.integer(`${path}/cpuinfo_max_freq`, 1, 1e9);
      return highest === null ? [] : { path, highest };
    }),
    counters: board
      .names('sys/devices/system/cpu', /^cpu\d+$/)
      .map((name) => `sys/devices/system/cpu/${name}/thermal_throttle/core_throttle_count`)
      .filter((path) => board.text(path) !== null),
    firmware: board.text(FIRMWARE) !== null,
  };
}
