import { OptionError } from '../error.js';

const UNITS: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
};

/** Bytes of "1GiB", "600MiB", "1.5GB", "512M" or a number of bytes. Throws OptionError ("option/memory"). */
export function parseMemorySize(value: string | number, option = 'memory'): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(value));
  const unit = match ? UNITS[match[2]!.toLowerCase()] : undefined;
  const bytes = unit === undefined ? NaN : Math.floor(Number(match![1]) * unit);
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new OptionError(
      'option/memory',
      `${option}: "${value}" is not an amount of memory`,
      'Write a number with a unit: 600MiB, 1GiB, 1.5GB, or bytes.',
    );
  return bytes;
}

/** "1.25 GiB", "600 MiB", "12 KiB": rounded to read, not to calculate. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const)
    if (bytes >= size) {
      const value = bytes / size;
      return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
    }
  return `${bytes} B`;
}
