import type { Board } from './board.js';

/** One kind of measurement. */
export interface Sensor<Reading> {
  /** What is measured now, or null when the board does not tell. Does not throw. */
  read(): Reading | null;
}

/** What sensors read from. */
export interface SensorSource {
  readonly board: Board;
  /** Milliseconds that only grow. */
  readonly now: () => number;
}
