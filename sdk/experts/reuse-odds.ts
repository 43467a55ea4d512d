/** Visits since the last use that share a row: 0, 1, 2, 3, 4–7, 8–15, 16–31, more. */
const AGE_ROWS = 8;
/** Rates that share a column: half octaves from 1/16 of the mean rate to 16 times it. */
const RATE_COLUMNS = 17;
/** Weight, in observations, of the plain rate in a cell that has seen little. */
const PRIOR_WEIGHT = 8;
/** Counts are halved at this many observations of a cell, so that a change of habits is learnt. */
const FULL_CELL = 1 << 20;

/**
 * Learns how likely an expert is used at its layer's next visit, from how often it was used (its rate) and how long ago
 * (its age). One table for all layers: every visit of a layer teaches it once per expert, so it is of use within a few
 * tokens. Where routing is flat it finds that the rate is noise; where tokens resemble each other, that age matters.
 */
export class ReuseOdds {
  static readonly cells = AGE_ROWS * RATE_COLUMNS;
  readonly #seen = new Float64Array(ReuseOdds.cells);
  readonly #used = new Float64Array(ReuseOdds.cells);
  readonly #perMeanRate: number;

  /** @param meanRate share of a layer's experts that one visit uses. */
  constructor(meanRate: number) {
    this.#perMeanRate = 1 / meanRate;
  }

  /**
   * The cell that counts experts like this one, 0 … {@link ReuseOdds.cells} − 1.
   * @param age visits of its layer since the last use; 0 = used at the latest one.
   * @param rate decayed share of visits that used it.
   */
  cell(age: number, rate: number): number {
    const row = age < 4 ? age : Math.min(33 - Math.clz32(age), AGE_ROWS - 1);
    const halfOctaves = Math.round(2 * Math.log2(rate * this.#perMeanRate + 1e-9)) + (RATE_COLUMNS - 1) / 2;
    return row * RATE_COLUMNS + Math.min(Math.max(halfOctaves, 0), RATE_COLUMNS - 1);
  }

  /** An expert of this cell was, or was not, used at the visit that followed. */
  learn(cell: number, used: boolean): void {
    const seen = (this.#seen[cell] as number) + 1;
    this.#seen[cell] = seen;
    if (used) this.#used[cell] = (this.#used[cell] as number) + 1;
    if (seen < FULL_CELL) return;
    this.#seen[cell] = seen / 2;
    this.#used[cell] = (this.#used[cell] as number) / 2;
  }

  /** Chance that an expert of this cell and rate is used at its layer's next visit, in (0, 1). */
  odds(cell: number, rate: number): number {
    const odds =
      ((this.#used[cell] as number) + PRIOR_WEIGHT * rate) / ((this.#seen[cell] as number) + PRIOR_WEIGHT);
    return Math.min(Math.max(odds, 1e-6), 1 - 1e-6);
  }
}
