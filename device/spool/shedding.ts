/**
 * What is given up when space runs out: debug records first, then samples are thinned, then events, alarms and updates,
 * always older ones first.
 *
 * Samples are thinned in levels: level k keeps every 2^k-th. The frontiers between levels only move towards newer
 * samples, so that newer stretches are never coarser than older ones.
 */

/** At this level every sample of a stretch goes; coarser than one in a million tells nothing. */
export const LAST_LEVEL = 20;

/** So many samples stay before events are given up: the newest minutes at 1 Hz explain the events. */
export const SAMPLES_KEPT = 128;

/** Whether the sample with this ordinal (from 1) stays when its stretch is thinned to `level`. */
export function survives(ordinal: number, level: number): boolean {
  return level < LAST_LEVEL && ordinal % 2 ** level === 0;
}

/**
 * The level whose oldest stretch is thinned next. `rows[k]` is how many samples level k holds, newest level (0) first.
 * The newest level with at least as many samples as all coarser ones together gives way; so each level comes to span
 * about the same time, and resolution halves from one to the next. Null when too few samples are left to take any.
 */
export function chooseLevel(rows: readonly number[]): number | null {
  let left = rows.reduce((sum, count) => sum + count, 0);
  if (left <= SAMPLES_KEPT) return null;
  for (let level = 0; level < rows.length; level++) {
    const here = rows[level]!;
    left -= here;
    if (here > 0 && here >= left) return level;
  }
  return null;
}
