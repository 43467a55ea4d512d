import type { Board } from './board.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Above any device this runs on. */
const MOST_WATTS = 2000;
/** Three-channel current monitors that leave the multiplication to the reader. */
const MULTIPLIED = /^ina3221/;

export interface PowerSource {
  readonly label: string;
  readonly watts: number;
}

export interface PowerReading {
  /** The largest source: rails often contain one another, so their sum would count twice. */
  readonly watts: number;
  readonly sources: readonly PowerSource[];
}

/** Reads watts, or null; energy counters need a second reading. */
type Meter = { readonly label: string; readonly read: () => number | null };

/** Power monitors (/sys/class/hwmon) and energy counters of processors (/sys/class/powercap, usually root only). */
export class PowerSensor implements Sensor<PowerReading> {
  readonly #meters: Rescan<readonly Meter[]>;
  /** Last value of each energy counter; outlives rescans. */
  readonly #energies = new Map<string, { microjoules: number; at: number }>();

  constructor(source: SensorSource) {
    this.#meters = new Rescan(
      () => [...monitors(source.board), ...this.#counters(source.board, source.now)],
      source.now,
    );
  }

  read(): PowerReading | null {
    const sources = this.#meters.get().flatMap(({ label, read }) => {
      const watts = read();
      return watts === null || watts < 0 || watts > MOST_WATTS ? [] : { label, watts };
    });
    return sources.length === 0 ? null : { watts: Math.max(...sources.map((s) => s.watts)), sources };
  }

  #counters(board: Board, now: () => number): Meter[] {
    return board.names('sys/class/powercap', /^intel-rapl:\d+$/).map((name) => {
      const path = `sys/class/powercap/${name}`;
      const range = board.integer(`${path}/max_energy_range_uj`, 1, 1e14);
      return {
        label: board.label(`${path}/name`) ?? name,
        read: () => {
          const microjoules = board.integer(`${path}/energy_uj`, 0, 1e14);
          const at = now();
          const before = this.#energies.get(path);
          if (microjoules === null) {
            this.#energies.delete(path);
            return null;
          }
          this.#energies.set(path, { microjoules, at });
          if (!before || at <= before.at) return null;
          let used = microjoules - before.microjoules;
          if (used < 0 && range !== null) used += range; // the counter began again
          return used / 1000 / (at - before.at);
        },
      };
    });
  }
}

function monitors(board: Board): Meter[] {
  return board.names('sys/class/hwmon', /^hwmon\d+$/).flatMap((name) => {
    const path = `sys/class/hwmon/${name}`;
    const chip = board.label(`${path}/name`) ?? name;
    const labelled = (channel: string) => {
      const own = board.label(`${path}/${channel}_label`);
      return own === null ? chip : `${chip} ${own}`;
    };
    const direct = board.names(path, /^power\d+_(input|average)$/).map((file) => ({
      label: labelled(file.slice(0, file.indexOf('_'))),
      read: () => {
        const microwatts = board.integer(`${path}/${file}`, 0, 1e12);
        return microwatts === null ? null : microwatts / 1e6;
      },
    }));
    if (direct.length > 0 || !MULTIPLIED.test(chip)) return direct;
    return [1, 2, 3].map((channel) => ({
      label: labelled(`in${channel}`),
      read: () => {
        const millivolts = board.integer(`${path}/in${channel}_input`, 0, 1e6);
        const milliamperes = board.integer(`${path}/curr${channel}_input`, 0, 1e6);
        return millivolts === null || milliamperes === null ? null : (millivolts * milliamperes) / 1e6;
      },
    }));
  });
}
