import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A simulated board: a temporary folder with the files that a kernel would show. */
export class BoardFolder {
  readonly root = mkdtempSync(join(tmpdir(), 'pocketmoe-board-'));

  /** Writes files; null removes one. Kernels end a line with a line feed, so does this. */
  write(files: Readonly<Record<string, string | number | null>>): this {
    for (const [path, content] of Object.entries(files)) {
      const at = join(this.root, path);
      if (content === null) rmSync(at, { recursive: true, force: true });
      else {
        mkdirSync(dirname(at), { recursive: true });
        writeFileSync(at, `${content}\n`);
      }
    }
    return this;
  }

  link(path: string, target: string): this {
    const at = join(this.root, path);
    mkdirSync(dirname(at), { recursive: true });
    symlinkSync(target, at);
    return this;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

const ZONE = 'sys/class/thermal/thermal_zone';
const PSI = (some: string, full: string) =>
  `some avg10=${some} avg60=1.00 avg300=0.50 total=2500000\nfull avg10=${full} avg60=0.20 avg300=0.10 total=500000`;

/** Every sensor has something to read, in the kernel's formats. */
export const FULL_BOARD: Readonly<Record<string, string | number>> = {
  [`${ZONE}0/type`]: 'cpu-thermal',
  [`${ZONE}0/temp`]: 45_500,
  [`${ZONE}0/trip_point_0_type`]: 'active',
  [`${ZONE}0/trip_point_0_temp`]: 40_000,
  [`${ZONE}0/trip_point_1_type`]: 'passive',
  [`${ZONE}0/trip_point_1_temp`]: 85_000,
  [`${ZONE}0/trip_point_2_type`]: 'critical',
  [`${ZONE}0/trip_point_2_temp`]: 105_000,
  [`${ZONE}1/type`]: 'gpu-thermal',
  [`${ZONE}1/temp`]: 41_000,
  'sys/class/hwmon/hwmon0/name': 'nvme',
  'sys/class/hwmon/hwmon0/temp1_label': 'Composite',
  'sys/class/hwmon/hwmon0/temp1_input': 51_850,
  'sys/class/hwmon/hwmon0/temp1_max': 81_850,
  'sys/class/hwmon/hwmon0/temp1_crit': 84_850,
  'sys/class/hwmon/hwmon0/temp2_label': 'Sensor 1',
  'sys/class/hwmon/hwmon0/temp2_input': 48_850,
  'sys/class/hwmon/hwmon0/temp2_max': 65_261_850,
  'sys/class/hwmon/hwmon1/name': 'ina3221',
  'sys/class/hwmon/hwmon1/in1_label': 'VDD_IN',
  'sys/class/hwmon/hwmon1/in1_input': 19_000,
  'sys/class/hwmon/hwmon1/curr1_input': 500,
  'sys/class/hwmon/hwmon1/in2_label': 'VDD_CPU',
  'sys/class/hwmon/hwmon1/in2_input': 5_000,
  'sys/class/hwmon/hwmon1/curr2_input': 400,
  'sys/class/powercap/intel-rapl:0/name': 'package-0',
  'sys/class/powercap/intel-rapl:0/energy_uj': 1_000_000,
  'sys/class/powercap/intel-rapl:0/max_energy_range_uj': 262_143_328_850,
  'sys/class/powercap/intel-rapl:0:0/name': 'core',
  'sys/class/powercap/intel-rapl:0:0/energy_uj': 500_000,
  'sys/class/thermal/cooling_device0/type': 'cpufreq-cpu0',
  'sys/class/thermal/cooling_device0/cur_state': 0,
  'sys/class/thermal/cooling_device0/max_state': 10,
  'sys/class/thermal/cooling_device1/type': 'pwm-fan',
  'sys/class/thermal/cooling_device1/cur_state': 3,
  'sys/class/thermal/cooling_device1/max_state': 4,
  'sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq': 2_400_000,
  'sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq': 2_400_000,
  'sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count': 7,
  'sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count': 5,
  'sys/devices/platform/soc/soc:firmware/get_throttled': '50000',
  'sys/class/power_supply/BAT0/type': 'Battery',
  'sys/class/power_supply/BAT0/status': 'Discharging',
  'sys/class/power_supply/BAT0/present': 1,
  'sys/class/power_supply/BAT0/capacity': 64,
  'sys/class/power_supply/BAT0/energy_full': 40_000_000,
  'sys/class/power_supply/BAT0/energy_full_design': 50_000_000,
  'sys/class/power_supply/BAT0/energy_now': 25_600_000,
  'sys/class/power_supply/BAT0/current_now': -1_500_000,
  'sys/class/power_supply/BAT0/voltage_now': 12_000_000,
  'sys/class/power_supply/BAT0/temp': 312,
  'sys/class/power_supply/BAT0/cycle_count': 211,
  'sys/class/power_supply/AC/type': 'Mains',
  'sys/class/power_supply/AC/online': 0,
  'sys/class/power_supply/mouse/type': 'Battery',
  'sys/class/power_supply/mouse/scope': 'Device',
  'sys/class/power_supply/mouse/capacity': 3,
  'proc/meminfo':
    'MemTotal:        8052036 kB\nMemFree:         1000000 kB\nMemAvailable:    3052036 kB\nSwapTotal:       2097148 kB\nSwapFree:        2097100 kB',
  'proc/self/cgroup': '0::/system.slice/pocketmoe.service',
  'sys/fs/cgroup/system.slice/pocketmoe.service/memory.max': 2_147_483_648,
  'sys/fs/cgroup/system.slice/pocketmoe.service/memory.current': 1_000_000_000,
  'sys/fs/cgroup/system.slice/pocketmoe.service/memory.pressure': PSI('12.50', '3.25'),
  'proc/pressure/memory': PSI('4.00', '5.00'),
  'sys/class/mmc_host/mmc0/mmc0:0001/life_time': '0x02 0x03',
  'sys/class/mmc_host/mmc0/mmc0:0001/pre_eol_info': '0x01',
  'sys/devices/platform/soc/1d84000.ufshc/health_descriptor/eol_info': '0x02',
  'sys/devices/platform/soc/1d84000.ufshc/health_descriptor/life_time_estimation_a': '0x0B',
  'sys/devices/platform/soc/1d84000.ufshc/health_descriptor/life_time_estimation_b': '0x01',
  'sys/devices/platform/soc/1d84000.ufshc/host0/scsi_host/host0/unique_id': 0,
};

/** Links of {@link FULL_BOARD}, as sysfs has them. */
export const FULL_BOARD_LINKS: Readonly<Record<string, string>> = {
  'sys/class/scsi_host/host0': '../../devices/platform/soc/1d84000.ufshc/host0/scsi_host/host0',
  'sys/devices/platform/soc/1d84000.ufshc/host0/scsi_host/host0/device': '../../../host0',
};

export function fullBoard(): BoardFolder {
  const board = new BoardFolder().write(FULL_BOARD);
  for (const [path, target] of Object.entries(FULL_BOARD_LINKS)) board.link(path, target);
  return board;
}
