import type { Readings } from '../../firmware-bridge/sensors/open-sensors.js';

/** What a rule can compare with a threshold, and its unit. */
export const MEASURES = {
  temperature: '°C, the hottest zone',
  temperatureHeadroom: '°C left to the nearest limit of a zone',
  battery: '% of a full charge',
  batteryTemperature: '°C',
  power: 'W, the largest source',
  clock: '% of the highest clock that is allowed now',
  memoryPressure: '% of the last 10 s in which a task waited for memory',
  memoryStall: '% of the last 10 s in which all tasks waited for memory',
  memoryAvailable: 'bytes that the system can give without swapping',
  flashWear: '% of the guaranteed life that is used',
  tokenTime: 'ms per generated token, since the last look; nothing while no token is generated',
} as const;

/** What a rule can ask yes or no. */
export const STATES = {
  throttling: 'a processor is slowed by cooling or firmware',
  externalPower: 'power comes from outside',
  charging: 'the battery is being charged',
} as const;

export type Measure = keyof typeof MEASURES;
export type State = keyof typeof STATES;

/** Values of one moment; null where nobody tells. */
export type Measures = Readonly<Record<Measure, number | null> & Record<State, boolean | null>>;

/**
 * The values that rules see.
 * @param tokenTime milliseconds per token, from the model
 */
export function measuresOf(readings: Readings, tokenTime: number | null): Measures {
  const { temperature, throttling, battery, mains, power, memory, memoryPressure, flashWear } = readings;
  return {
    temperature: temperature?.celsius ?? null,
    temperatureHeadroom: temperature?.headroomCelsius ?? null,
    battery: battery?.percent ?? null,
    batteryTemperature: battery?.celsius ?? null,
    power: power?.watts ?? null,
    clock: throttling?.clockPercent ?? null,
    memoryPressure: memoryPressure?.somePercent ?? null,
    memoryStall: memoryPressure?.fullPercent ?? null,
    memoryAvailable: memory?.availableBytes ?? null,
    flashWear: flashWear?.usedPercent ?? null,
    tokenTime,
    throttling: throttling?.active ?? null,
    externalPower: mains?.online ?? null,
    charging: battery ? battery.status === 'charging' : null,
  };
}
