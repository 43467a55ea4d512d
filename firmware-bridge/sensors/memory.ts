import type { Board } from './board.js';
import { ownCgroup } from './own-cgroup.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

export interface MemoryReading {
  readonly totalBytes: number;
  /** What the system can give without swapping. */
  readonly availableBytes: number;
  readonly swapUsedBytes: number;
  /** Limit of this process's control group; null without one. */
  readonly limitBytes: number | null;
  /** What the group holds, page cache included. */
  readonly groupBytes: number | null;
}

/** /proc/meminfo, and memory.max and memory.current of the own control group (version 2). */
export class MemorySensor implements Sensor<MemoryReading> {
  readonly #board: Board;
  readonly #group: Rescan<string | null>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#group = new Rescan(() => ownCgroup(board), now);
  }

  read(): MemoryReading | null {
    const text = this.#board.text('proc/meminfo');
    if (text === null) return null;
    const bytes = (name: string): number | null => {
      const found = new RegExp(`^${name}:\\s+(\\d{1,12}) kB$`, 'm').exec(text);
      return found ? Number(found[1]) * 1024 : null;
    };
    const totalBytes = bytes('MemTotal');
    const availableBytes = bytes('MemAvailable');
    if (totalBytes === null || availableBytes === null || availableBytes > totalBytes) return null;
    const group = this.#group.get();
    const own = (name: string) => (group === null ? null : this.#board.integer(`${group}/${name}`, 0, 1e15));
    return {
      totalBytes,
      availableBytes,
      swapUsedBytes: Math.max(0, (bytes('SwapTotal') ?? 0) - (bytes('SwapFree') ?? 0)),
      limitBytes: own('memory.max'), // "max" is no number
      groupBytes: own('memory.current'),
    };
  }
}
