import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openSensors, type Readings, type Sensors } from '../../firmware-bridge/sensors/open-sensors.js';
import { BoardFolder, FULL_BOARD, fullBoard } from './board-folder.js';

let board: BoardFolder;
let time: number;
let sensors: Sensors;
const open = (made: BoardFolder) => {
  board = made;
  time = 0;
  sensors = openSensors({ root: board.root, now: () => time });
};
/** Reads after `seconds`. */
const after = (seconds: number): Readings => {
  time += seconds * 1000;
  return sensors.read();
};
afterEach(() => board.remove());

describe('a board that tells everything', () => {
  beforeEach(() => open(fullBoard()));

  test('temperature: the hottest zone, limits without fans and nonsense', () => {
    expect(sensors.read().temperature).toEqual({
      celsius: 51.85,
      label: 'nvme Composite',
      headroomCelsius: 30,
      zones: [
        { label: 'cpu-thermal', celsius: 45.5, limitCelsius: 85 },
        { label: 'gpu-thermal', celsius: 41, limitCelsius: null },
        { label: 'nvme Composite', celsius: 51.85, limitCelsius: 81.85 },
        { label: 'nvme Sensor 1', celsius: 48.85, limitCelsius: null },
      ],
    });
  });

  test('throttling: not by a fan, but by a processor’s cooling or the firmware’s bits for now', () => {
    expect(sensors.read().throttling).toEqual({
      active: false,
      clockPercent: 100,
      cooling: [{ label: 'cpufreq-cpu0', state: 0, maximum: 10 }],
      count: 12,
      underVoltage: false,
    });
    board.write({
      'sys/class/thermal/cooling_device0/cur_state': 4,
      'sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq': 1_200_000,
    });
    expect(sensors.read().throttling).toMatchObject({ active: true, clockPercent: 50 });
    board.write({
      'sys/class/thermal/cooling_device0/cur_state': 0,
      'sys/devices/platform/soc/soc:firmware/get_throttled': '0x50005',
    });
    expect(sensors.read().throttling).toMatchObject({ active: true, underVoltage: true });
  });

  test('battery: power leaves it, whatever sign the driver gives; mice do not count', () => {
    expect(sensors.read().battery).toEqual({
      percent: 64,
      status: 'discharging',
      watts: 18,
      celsius: 31.2,
      healthPercent: 80,
      cycles: 211,
      batteries: 1,
    });
    board.write({
      'sys/class/power_supply/BAT0/status': 'Charging',
      'sys/class/power_supply/BAT0/capacity': null,
    });
    expect(sensors.read().battery).toMatchObject({ percent: 64, status: 'charging', watts: -18 });
  });

  test('two batteries count by size', () => {
    board.write({
      'sys/class/power_supply/BAT1/type': 'Battery',
      'sys/class/power_supply/BAT1/status': 'Full',
      'sys/class/power_supply/BAT1/capacity': 100,
      'sys/class/power_supply/BAT1/energy_full': 10_000_000,
    });
    expect(sensors.read().battery).toMatchObject({ percent: (64 * 4 + 100) / 5, batteries: 2 });
  });

  test('mains', () => {
    expect(sensors.read().mains).toEqual({ online: false, supplies: [{ label: 'AC', online: false }] });
    board.write({ 'sys/class/power_supply/AC/online': 1 });
    expect(sensors.read().mains!.online).toBe(true);
  });

  test('power: the largest rail; counters of energy from the second reading on, also when they wrap', () => {
    expect(sensors.read().power).toEqual({
      watts: 9.5,
      sources: [
        { label: 'ina3221 VDD_IN', watts: 9.5 },
        { label: 'ina3221 VDD_CPU', watts: 2 },
      ],
    });
    const energy = 'sys/class/powercap/intel-rapl:0/energy_uj';
    board.write({ [energy]: 25_000_000 });
    expect(after(2).power).toMatchObject({
      watts: 12,
      sources: [{}, {}, { label: 'package-0', watts: 12 }],
    });
    board.write({ [energy]: 262_143_000_000 });
    expect(after(1).power!.sources).toHaveLength(2); // 262 kW: not believed
    board.write({ [energy]: 671_150 });
    expect(after(1).power!.sources[2]).toEqual({ label: 'package-0', watts: 1 });
  });

  test('memory and pressure, of the system and of the own group', () => {
    const { memory, memoryPressure } = sensors.read();
    expect(memory).toEqual({
      totalBytes: 8052036 * 1024,
      availableBytes: 3052036 * 1024,
      swapUsedBytes: 48 * 1024,
      limitBytes: 2 ** 31,
      groupBytes: 1e9,
    });
    expect(memoryPressure).toMatchObject({
      somePercent: 12.5,
      fullPercent: 5,
      system: {
        some: { percent10: 4, percent60: 1, percent300: 0.5, totalSeconds: 2.5 },
        full: { percent10: 5, totalSeconds: 0.5 },
      },
      group: { some: { percent10: 12.5 }, full: { percent10: 3.25 } },
    });
    board.write({ 'sys/fs/cgroup/system.slice/pocketmoe.service/memory.max': 'max' });
    expect(sensors.read().memory!.limitBytes).toBeNull();
  });

  test('flash wear: eMMC and UFS, the worse of two estimates, asked once an hour', () => {
    const worn = sensors.read().flashWear;
    expect(worn).toEqual({
      usedPercent: 100,
      devices: [
        { label: 'mmc0:0001', technology: 'emmc', usedPercent: 30, exceeded: false, endOfLife: 'normal' },
        { label: 'host0', technology: 'ufs', usedPercent: 100, exceeded: true, endOfLife: 'warning' },
      ],
    });
    board.write({ 'sys/class/mmc_host/mmc0/mmc0:0001/life_time': '0x05 0x03' });
    expect(after(3599).flashWear).toEqual(worn);
    expect(after(1).flashWear!.devices[0]!.usedPercent).toBe(50);
  });

  test('a device that comes is found within 30 seconds, one that goes is gone at once', () => {
    sensors.read();
    board.write({
      'sys/class/thermal/thermal_zone2/type': 'modem',
      'sys/class/thermal/thermal_zone2/temp': 70_000,
      'sys/class/hwmon/hwmon0': null,
    });
    expect(after(29).temperature).toMatchObject({ label: 'cpu-thermal' });
    expect(after(1).temperature).toMatchObject({ label: 'modem', celsius: 70 });
  });
});

describe('a board that tells nothing, or nonsense', () => {
  const NOTHING: Readings = {
    temperature: null,
    throttling: null,
    battery: null,
    mains: null,
    power: null,
    memory: null,
    memoryPressure: null,
    flashWear: null,
  };

  test('an empty folder and a missing one', () => {
    open(new BoardFolder());
    expect(sensors.read()).toEqual(NOTHING);
    expect(openSensors({ root: `${board.root}/none` }).read()).toEqual(NOTHING);
  });

  const NONSENSE = {
    nothing: '',
    'a dash': '-',
    'a word': 'NaN',
    'half a number': '0x',
    'another notation': '1e99',
    'too much': '9'.repeat(15),
    'too little': '-999999999',
    zeros: '\0\0',
    markup: '<script>',
    'no end': '7'.repeat(5000),
  };
  test.each(Object.entries(NONSENSE))('every value is %s', (_, nonsense) => {
    open(fullBoard());
    board.write(everyValue(nonsense));
    expect(sensors.read()).toEqual(NOTHING);
    expect(after(31)).toEqual(NOTHING);
  });

  /** All attributes but those by which devices are found. */
  function everyValue(content: string) {
    const found = /(type|name|scope|present|cgroup|max_state|cpuinfo_max_freq|get_throttled)$/;
    const values: Record<string, string> = {};
    for (const path of Object.keys(FULL_BOARD)) if (!found.test(path)) values[path] = content;
    values['sys/devices/platform/soc/soc:firmware/get_throttled'] = 'g';
    return values;
  }

  test('names that are no names become the kernel’s own', () => {
    open(fullBoard());
    board.write({ 'sys/class/thermal/thermal_zone0/type': 'cpu\u0007"<b>' });
    board.write({ 'sys/class/thermal/thermal_zone1/type': 'x'.repeat(65) });
    expect(
      sensors
        .read()
        .temperature!.zones.slice(0, 2)
        .map((z) => z.label),
    ).toEqual(['thermal_zone0', 'thermal_zone1']);
  });

  test('a folder where a file should be, and a group that leads elsewhere', () => {
    open(fullBoard());
    board.write({ 'sys/class/thermal/thermal_zone0/temp': null });
    board.write({ 'sys/class/thermal/thermal_zone0/temp/file': 1 });
    board.write({ 'proc/self/cgroup': '0::/../../etc', 'etc/memory.max': 1 });
    const { temperature, memory, memoryPressure } = sensors.read();
    expect(temperature!.zones.map((z) => z.label)).not.toContain('cpu-thermal');
    expect(memory).toMatchObject({ limitBytes: null, groupBytes: null });
    expect(memoryPressure!.group).toBeNull();
  });

  test('a crowd of devices is cut off', () => {
    open(new BoardFolder());
    for (let i = 0; i < 200; i++) board.write({ [`sys/class/thermal/thermal_zone${i}/temp`]: 40_000 });
    expect(sensors.read().temperature!.zones).toHaveLength(64);
  });
});

test('this machine', () => {
  board = new BoardFolder();
  const readings = openSensors().read();
  if (readings.memory) expect(readings.memory.availableBytes).toBeGreaterThan(0);
  expect(Object.keys(readings)).toHaveLength(8);
});
