/** One line of the benchmark: a figure of ours, the peer's where there is one, and what was aimed at. */
export interface Row {
  readonly figure: string;
  readonly unit: string;
  /** Medians over the rounds. */
  readonly ours: number;
  readonly peer: number | null;
  /** ours / peer, of the medians. */
  readonly ratio: number | null;
  /** Bound for the ratio, or for ours where there is no peer; null: for information. */
  readonly goal: number | null;
  readonly better: 'higher' | 'lower';
  readonly met: boolean | null;
  /** Least and most of the rounds. */
  readonly spread: { readonly ours: Range; readonly peer: Range | null };
  readonly note: string;
}

export type Range = readonly [least: number, most: number];

/** What a row is made from. */
export interface Samples {
  readonly figure: string;
  readonly unit: string;
  /** One value per round. */
  readonly ours: readonly number[];
  readonly peer?: readonly number[];
  readonly goal?: number | null;
  readonly better: 'higher' | 'lower';
  readonly note?: string;
}

export function toRow({ figure, unit, ours, peer, goal = null, better, note = '' }: Samples): Row {
  const our = median(ours);
  const their = peer && peer.length > 0 ? median(peer) : null;
  const ratio = their === null ? null : our / their;
  const judged = ratio ?? our;
  return {
    figure,
    unit,
    ours: our,
    peer: their,
    ratio,
    goal,
    better,
    met: goal === null ? null : better === 'higher' ? judged >= goal : judged <= goal,
    spread: { ours: range(ours), peer: peer && peer.length > 0 ? range(peer) : null },
    note,
  };
}

/** The middle value, or the mean of the two middle ones. Throws RangeError without values. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values were measured');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const range = (values: readonly number[]): Range => [Math.min(...values), Math.max(...values)];
