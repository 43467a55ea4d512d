/** Visits since the last use that share a row: 0, 1, 2, 3, 4–7, 8–15, 16–31, more. */
const AGE_ROWS = 8;
const ROW_OF_AGE = Uint8Array.from({ length: 32 }, (_, age) => (age < 4 ? age : 33 - Math.clz32(age)));
/** Rates that share a column: half octaves from 1/16 of the mean rate to 16 times it. */
const RATE_COLUMNS = 17;
/** Weight, in observations, of the plain rate in a cell that has seen little. */
const PRIOR_WEIGHT = 8;
/** Odds stay this far from 0 and 1. */
const LEAST_ODDS = 1e-6;
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
  /** Rates between the columns, ascending. */
  readonly #bounds: Float64Array;

  /** @param meanRate share of a layer's experts that one visit uses. */
  constructor(meanRate: number) {
    this.#bounds = Float64Array.from(
      { length: RATE_COLUMNS - 1 },
      (_, i) => meanRate * 2 ** ((i + 1 - RATE_COLUMNS / 2) / 2),
    );
  }

  /**
   * The cell that counts experts like this one, 0 … {@link ReuseOdds.cells} − 1.
   * @param age visits of its layer since the last use; 0 = used at the latest one.
   * @param rate decayed share of visits that used it.
   */
  cell(age: number, rate: number): number {
    const row = age < ROW_OF_AGE.length ? (ROW_OF_AGE[age] as number) : AGE_ROWS - 1;
    let column = 0;
    // Binary search for the number of bounds at or below the rate.
    for (let half = RATE_COLUMNS >> 1; half > 0; half >>= 1) {
      if ((this.#bounds[column + half - 1] as number) <= rate) column += half;
    }
    if (column === RATE_COLUMNS - 2 && (this.#bounds[column] as number) <= rate) column++;
    return row * RATE_COLUMNS + column;
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
    return odds < LEAST_ODDS ? LEAST_ODDS : odds > 1 - LEAST_ODDS ? 1 - LEAST_ODDS : odds;
  }
}
