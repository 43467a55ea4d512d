import type { RecordIdentity } from './fleet-message.js';

export interface DeduplicatorOptions {
  /** Devices remembered; the one heard longest ago is forgotten first. Default 100,000. */
  devices?: number;
  /** Boots remembered per device. Default 4. */
  boots?: number;
  /** Records before the newest of a boot among which order may be mixed; multiple of 32. Default 256. */
  window?: number;
}

/** What was seen of one boot: the newest sequence and, as bits, the `window` sequences up to it. */
interface Seen {
  newest: number;
  readonly bits: Uint32Array;
}

/**
 * Passes each record once by (device, boot, sequence). A device sends in order and again from the oldest that was not
 * acknowledged, so the newest sequence and a window of bits before it are enough: 32 bytes and a little per boot,
 * whatever the gaps. What is older than the window counts as seen.
 */
export class Deduplicator {
  readonly #devices = new Map<string, Map<string, Seen>>();
  readonly #limits: Required<DeduplicatorOptions>;
  #passed = 0;
  #duplicates = 0;

  constructor({ devices = 100_000, boots = 4, window = 256 }: DeduplicatorOptions = {}) {
    this.#limits = { devices, boots, window: Math.max(32, Math.ceil(window / 32) * 32) };
  }

  /** True the first time it is asked about a record. */
  isNew({ device, boot, sequence }: RecordIdentity): boolean {
    const isNew = this.#mark(this.#boot(device, boot), sequence);
    if (isNew) this.#passed++;
    else this.#duplicates++;
    return isNew;
  }

  statistics(): { passed: number; duplicates: number; devices: number } {
    return { passed: this.#passed, duplicates: this.#duplicates, devices: this.#devices.size };
  }

  #boot(device: string, boot: string): Seen {
    const boots = touch(this.#devices, device, this.#limits.devices, () => new Map<string, Seen>());
    return touch(boots, boot, this.#limits.boots, () => ({
      newest: 0,
      bits: new Uint32Array(this.#limits.window / 32),
    }));
  }

  #mark(seen: Seen, sequence: number): boolean {
    const { window } = this.#limits;
    const { bits } = seen;
    if (sequence > seen.newest) {
      if (sequence - seen.newest >= window) bits.fill(0);
      else for (let s = seen.newest + 1; s < sequence; s++) bits[(s % window) >>> 5]! &= ~(1 << (s % 32));
      seen.newest = sequence;
    } else if (sequence <= seen.newest - window || bits[(sequence % window) >>> 5]! & (1 << (sequence % 32)))
      return false;
    bits[(sequence % window) >>> 5]! |= 1 << (sequence % 32);
    return true;
  }
}

/** The entry of a key, made when missing, moved to the end; the first goes when there are more than `limit`. */
function touch<V>(map: Map<string, V>, key: string, limit: number, make: () => V): V {
  const value = map.get(key) ?? make();
  map.delete(key);
  map.set(key, value);
  if (map.size > limit) map.delete(map.keys().next().value!);
  return value;
}
