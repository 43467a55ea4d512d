/** Cumulative counters of expert streaming. Never ratios: readers subtract two samples. */
export interface ExpertStatistics {
  /** Experts asked for, once per layer and batch. */
  requests: number;
  /** … that were in memory. */
  hits: number;
  /** … that had to be read from flash. */
  misses: number;
  /** … that computation had to wait for. */
  late: number;
  evictions: number;
  /** Bytes of experts asked from flash. */
  bytes: number;
  /** Nanoseconds in which nothing could be computed for lack of data. */
  stallNs: number;
  /** Gate rows computed, and those whose activation was not zero. */
  rowsTotal: number;
  rowsActive: number;
}

export const noExpertStatistics = (): ExpertStatistics => ({
  requests: 0,
  hits: 0,
  misses: 0,
  late: 0,
  evictions: 0,
  bytes: 0,
  stallNs: 0,
  rowsTotal: 0,
  rowsActive: 0,
});

/** Sum over layers. */
export function totalExpertStatistics(layers: readonly ExpertStatistics[]): ExpertStatistics {
  const total = noExpertStatistics();
  for (const layer of layers)
    for (const key of Object.keys(total) as (keyof ExpertStatistics)[]) total[key] += layer[key];
  return total;
}
