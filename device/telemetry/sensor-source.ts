import type { Readings } from '../../firmware-bridge/sensors/open-sensors.js';
import type { Registry } from './registry.js';

/** Turns readings of the board's sensors into metrics. A sensor that went away says null, not its last value. */
export class SensorSource {
  readonly #registry: Registry;
  readonly #labelled = new Map<string, ReturnType<Registry['gauge']>>();
  #throttledAt: number | null = null;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** @param now ms on a clock that only grows: throttled time is counted with it */
  observe(readings: Partial<Readings>, now: number): void {
    for (const gauge of this.#labelled.values()) gauge.set(null);
    const { temperature, throttling, battery, power, memory, memoryPressure, flashWear } = readings;
    this.#each('hw.temperature', temperature?.zones ?? [], (zone) => zone.celsius);
    this.#each('hw.power', power?.sources ?? [], (source) => source.watts);
    this.#each('edge.flash.wear', flashWear?.devices ?? [], (device) => device.usedPercent / 100);
    if (battery) this.#each('hw.battery.charge', [{ label: 'battery' }], () => battery.percent / 100);
    if (memory) {
      const usage = (state: string) =>
        this.#registry.gauge('system.memory.usage', { 'system.memory.state': state });
      usage('used').set(memory.totalBytes - memory.availableBytes);
      usage('free').set(memory.availableBytes);
    }
    const pressure = memoryPressure?.system ?? memoryPressure?.group;
    if (pressure)
      for (const scope of ['some', 'full'] as const)
        this.#registry.counter('edge.pressure', { scope }).follow(pressure[scope].totalSeconds);
    if (throttling) {
      this.#registry.gauge('edge.throttle.active').set(throttling.active ? 1 : 0);
      const time = this.#registry.counter('edge.throttle.time');
      time.add(this.#throttledAt !== null ? (now - this.#throttledAt) / 1000 : 0);
      this.#throttledAt = throttling.active ? now : null;
    }
  }

  #each<T extends { readonly label: string }>(
    name: 'hw.temperature' | 'hw.power' | 'hw.battery.charge' | 'edge.flash.wear',
    list: readonly T[],
    value: (entry: T) => number,
  ): void {
    const seen = new Map<string, number>();
    for (const entry of list) {
      // boards have sensors of equal names
      const count = (seen.get(entry.label) ?? 0) + 1;
      seen.set(entry.label, count);
      const id = count === 1 ? entry.label : `${entry.label} ${count}`;
      const gauge = this.#registry.gauge(name, { 'hw.id': id });
      gauge.set(value(entry));
      this.#labelled.set(`${name}\0${id}`, gauge);
    }
  }
}
