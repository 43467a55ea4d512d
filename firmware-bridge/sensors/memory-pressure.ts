import type { Board } from './board.js';
import { ownCgroup } from './own-cgroup.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Share of time in which tasks waited for memory, over the last 10, 60 and 300 seconds. */
export interface PressureShares {
  readonly percent10: number;
  readonly percent60: number;
  readonly percent300: number;
  /** Waiting since the start. */
  readonly totalSeconds: number;
}

export interface Pressure {
  /** At least one task waited. */
  readonly some: PressureShares;
  /** All tasks waited at once. */
  readonly full: PressureShares;
}

export interface MemoryPressureReading {
  /** The higher of system and group, over 10 seconds. */
  readonly somePercent: number;
  readonly fullPercent: number;
  readonly system: Pressure | null;
  /** Of this process's control group. */
  readonly group: Pressure | null;
}

const LINE =
  /^(some|full) avg10=(\d{1,3}\.\d\d) avg60=(\d{1,3}\.\d\d) avg300=(\d{1,3}\.\d\d) total=(\d{1,18})$/;

/** Pressure stall information: /proc/pressure/memory and the own control group's memory.pressure. */
export class MemoryPressureSensor implements Sensor<MemoryPressureReading> {
  readonly #board: Board;
  readonly #group: Rescan<string | null>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#group = new Rescan(() => {
      const group = ownCgroup(board);
      return group !== null && board.text(`${group}/memory.pressure`) !== null ? group : null;
    }, now);
  }

  read(): MemoryPressureReading | null {
    const own = this.#group.get();
    const system = pressureOf(this.#board.text('proc/pressure/memory'));
    const group = own === null ? null : pressureOf(this.#board.text(`${own}/memory.pressure`));
    if (!system && !group) return null;
    const most = (kind: 'some' | 'full') =>
      Math.max(system?.[kind].percent10 ?? 0, group?.[kind].percent10 ?? 0);
    return { somePercent: most('some'), fullPercent: most('full'), system, group };
  }
}

function pressureOf(text: string | null): Pressure | null {
  const shares: Partial<Record<'some' | 'full', PressureShares>> = {};
  for (const line of (text ?? '').split('\n', 4)) {
    const found = LINE.exec(line);
    if (!found) continue;
    const [percent10, percent60, percent300] = [found[2], found[3], found[4]].map(Number);
    if (Math.max(percent10!, percent60!, percent300!) > 100) return null;
    shares[found[1] as 'some' | 'full'] = {
      percent10: percent10!,
      percent60: percent60!,
      percent300: percent300!,
      totalSeconds: Number(found[5]) / 1e6,
    };
  }
  const { some, full } = shares;
  return some && full ? { some, full } : null;
}
