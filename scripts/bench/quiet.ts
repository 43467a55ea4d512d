import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_MS = 500;
/** Share of one core that other processes may use. */
const QUIET = 0.2;

/** Seconds that all cores have been busy so far, I/O wait not counted. */
function busySeconds(): number {
  const fields = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / 100;
}

/**
 * Waits until the machine does next to nothing, at most `seconds`; true when it got quiet. Two compute threads beside
 * any busy process collapse, ours or the peer's, and a ratio of such rounds means nothing.
 */
export async function waitForQuiet(seconds: number): Promise<boolean> {
  const end = performance.now() + seconds * 1000;
  do {
    const before = busySeconds();
    await sleep(SAMPLE_MS);
    if (busySeconds() - before <= (QUIET * SAMPLE_MS) / 1000) return true;
  } while (performance.now() < end);
  return false;
}
