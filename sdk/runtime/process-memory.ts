import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Resident bytes of this process now and at most so far (VmRSS and VmHWM of proc(5)). */
export function processMemory(): { residentBytes: number; peakBytes: number } {
  const resident = process.memoryUsage.rss();
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(status);
    return { residentBytes: resident, peakBytes: peak ? Number(peak[1]) * 1024 : resident };
  } catch {
    return { residentBytes: resident, peakBytes: resident };
  }
}

/** Memory that this process may count on: what the system can give without swapping, within its cgroup's limit. */
export function availableMemory(): number {
  let available = freemem();
  try {
    const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'));
    if (found) available = Number(found[1]) * 1024;
  } catch {
    // no /proc: freemem is what there is
  }
  const constrained = process.constrainedMemory();
  return constrained > 0 && constrained < 2 ** 52 ? Math.min(available, constrained) : available;
}
