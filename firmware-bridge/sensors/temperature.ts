import type { Board } from './board.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Beyond these a value is a sensor that is off or broken (−274 °C, 65,261 °C), in thousandths of a degree. */
const LOWEST = -60_000;
const HIGHEST = 250_000;
const MOST_TRIPS = 16;

export interface TemperatureZone {
  /** As the kernel names it: "cpu-thermal", "nvme Composite". */
  readonly label: string;
  readonly celsius: number;
  /** Where the kernel begins to throttle, or shuts down; null when it does not say. */
  readonly limitCelsius: number | null;
}

export interface TemperatureReading {
  /** The hottest zone. */
  readonly celsius: number;
  readonly label: string;
  /** Least distance of a zone to its limit; null when no zone has one. */
  readonly headroomCelsius: number | null;
  readonly zones: readonly TemperatureZone[];
}

interface Found {
  readonly label: string;
  readonly path: string;
  readonly limitCelsius: number | null;
}

/** Thermal zones (/sys/class/thermal) and hardware monitors (/sys/class/hwmon). */
export class TemperatureSensor implements Sensor<TemperatureReading> {
  readonly #board: Board;
  readonly #found: Rescan<readonly Found[]>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#found = new Rescan(() => [...thermalZones(board), ...monitors(board)], now);
  }

  read(): TemperatureReading | null {
    const zones: TemperatureZone[] = [];
    for (const { label, path, limitCelsius } of this.#found.get()) {
      const celsius = celsiusOf(this.#board, path);
      if (celsius !== null) zones.push({ label, celsius, limitCelsius });
    }
    if (zones.length === 0) return null;
    const hottest = zones.reduce((a, b) => (b.celsius > a.celsius ? b : a));
    const headrooms = zones.flatMap((z) => (z.limitCelsius === null ? [] : z.limitCelsius - z.celsius));
    return {
      celsius: hottest.celsius,
      label: hottest.label,
      headroomCelsius: headrooms.length > 0 ? Math.round(Math.min(...headrooms) * 1000) / 1000 : null,
      zones,
    };
  }
}

function celsiusOf(board: Board, path: string): number | null {
  const value = board.integer(path, LOWEST, HIGHEST);
  return value === null ? null : value / 1000;
}

function thermalZones(board: Board): Found[] {
  return board.names('sys/class/thermal', /^thermal_zone\d+$/).map((name) => {
    const zone = `sys/class/thermal/${name}`;
    const limits: number[] = [];
    for (let i = 0; i < MOST_TRIPS; i++) {
      const type = board.text(`${zone}/trip_point_${i}_type`);
      if (type === null) break;
      // "active" trips start a fan
      if (!['passive', 'hot', 'critical'].includes(type)) continue;
      const limit = celsiusOf(board, `${zone}/trip_point_${i}_temp`);
      if (limit !== null && limit > 0) limits.push(limit);
    }
    return {
      label: board.label(`${zone}/type`) ?? name,
      path: `${zone}/temp`,
      limitCelsius: limits.length > 0 ? Math.min(...limits) : null,
    };
  });
}

function monitors(board: Board): Found[] {
  return board.names('sys/class/hwmon', /^hwmon\d+$/).flatMap((name) => {
    const monitor = `sys/class/hwmon/${name}`;
    const chip = board.label(`${monitor}/name`) ?? name;
    return board.names(monitor, /^temp\d+_input$/).map((input) => {
      const channel = input.slice(0, -'_input'.length);
      const own = board.label(`${monitor}/${channel}_label`);
      const limits = ['max', 'crit']
        .map((kind) => celsiusOf(board, `${monitor}/${channel}_${kind}`))
        .filter((limit) => limit !== null && limit > 0);
      return {
        label: own === null ? chip : `${chip} ${own}`,
        path: `${monitor}/${input}`,
        limitCelsius: limits.length > 0 ? Math.min(...(limits as number[])) : null,
      };
    });
  });
}
