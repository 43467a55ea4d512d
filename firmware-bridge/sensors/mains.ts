import type { Board } from './board.js';
import { Rescan } from './rescan.js';
import type { Sensor, SensorSource } from './sensor.js';

const EXTERNAL = /^(Mains|USB\w*|Wireless|BrickID)$/;

export interface MainsReading {
  /** Power comes from outside. */
  readonly online: boolean;
  readonly supplies: readonly { readonly label: string; readonly online: boolean }[];
}

/** External supplies: mains, USB, wireless (/sys/class/power_supply). */
export class MainsSensor implements Sensor<MainsReading> {
  readonly #board: Board;
  readonly #found: Rescan<readonly string[]>;

  constructor({ board, now }: SensorSource) {
    this.#board = board;
    this.#found = new Rescan(
      () =>
        board
          .names('sys/class/power_supply', /^[\w.:-]+$/)
          .filter((name) => EXTERNAL.test(board.text(`sys/class/power_supply/${name}/type`) ?? '')),
      now,
    );
  }

  read(): MainsReading | null {
    const supplies = this.#found.get().flatMap((label) => {
      // 2: a programmable supply that is connected
      const online = this.#board.integer(`sys/class/power_supply/${label}/online`, 0, 2);
      return online === null ? [] : { label, online: online > 0 };
    });
    return supplies.length === 0 ? null : { online: supplies.some((s) => s.online), supplies };
  }
}
