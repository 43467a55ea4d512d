import type { Board } from './board.js';
import type { Sensor, SensorSource } from './sensor.js';

/** Wear grows over months, and a UFS device must be asked for it: once an hour is plenty. */
const EVERY_MS = 3_600_000;

export type EndOfLife = 'normal' | 'warning' | 'urgent';

export interface WornDevice {
  /** "mmc0:0001", "host0". */
  readonly label: string;
  readonly technology: 'emmc' | 'ufs';
  /** At most this share of the guaranteed life is used, in steps of 10; the worse of the two kinds of memory. */
  readonly usedPercent: number;
  /** The guaranteed life is over. */
  readonly exceeded: boolean;
  /** Of the spare blocks. */
  readonly endOfLife: EndOfLife | null;
}

export interface FlashWearReading {
  /** The most worn device. */
  readonly usedPercent: number;
  readonly devices: readonly WornDevice[];
}

/** Life left of eMMC (JESD84: /sys/class/mmc_host) and UFS (JESD220: health descriptor), read once an hour. */
export class FlashWearSensor implements Sensor<FlashWearReading> {
  readonly #source: SensorSource;
  #last: FlashWearReading | null = null;
  #at: number | null = null;

  constructor(source: SensorSource) {
    this.#source = source;
  }

  read(): FlashWearReading | null {
    const { board, now } = this.#source;
    const at = now();
    if (this.#at === null || at - this.#at >= EVERY_MS) {
      this.#at = at;
      const devices = [...emmc(board), ...ufs(board)];
      this.#last =
        devices.length === 0
          ? null
          : { usedPercent: Math.max(...devices.map((d) => d.usedPercent)), devices };
    }
    return this.#last;
  }
}

function emmc(board: Board): WornDevice[] {
  return board.names('sys/class/mmc_host', /^mmc\d+$/).flatMap((host) =>
    board.names(`sys/class/mmc_host/${host}`, /^mmc\d+:[0-9a-f]{4}$/).flatMap((label) => {
      const path = `sys/class/mmc_host/${host}/${label}`;
      const codes = (board.text(`${path}/life_time`) ?? '').split(/\s+/, 3).map(hexadecimal);
      return worn(label, 'emmc', codes, hexadecimal(board.text(`${path}/pre_eol_info`)));
    }),
  );
}

function ufs(board: Board): WornDevice[] {
  return board.names('sys/class/scsi_host', /^host\d+$/).flatMap((label) => {
    // the host adapter lies above the SCSI host
    const path = `sys/class/scsi_host/${label}/device/../health_descriptor`;
    const codes = ['a', 'b'].map((kind) => hexadecimal(board.text(`${path}/life_time_estimation_${kind}`)));
    return worn(label, 'ufs', codes, hexadecimal(board.text(`${path}/eol_info`)));
  });
}

function hexadecimal(text: string | null): number | null {
  return text !== null && /^0x[0-9a-f]{1,2}$/i.test(text) ? Number(text) : null;
}

/** Codes 1 to 10 are tenths of the guaranteed life, 11 is beyond it, 0 is not told. */
function worn(
  label: string,
  technology: WornDevice['technology'],
  codes: readonly (number | null)[],
  endOfLife: number | null,
): WornDevice[] {
  const told = codes.filter((code) => code !== null && code >= 1 && code <= 11) as number[];
  if (told.length === 0) return [];
  const code = Math.max(...told);
  const states: Record<number, EndOfLife> = { 1: 'normal', 2: 'warning', 3: 'urgent' };
  return [
    {
      label,
      technology,
      usedPercent: Math.min(100, code * 10),
      exceeded: code === 11,
      endOfLife: states[endOfLife ?? 0] ?? null,
    },
  ];
}
