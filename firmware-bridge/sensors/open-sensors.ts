import { type BatteryReading, BatterySensor } from './battery.js';
import { Board } from './board.js';
import { type FlashWearReading, FlashWearSensor } from './flash-wear.js';
import { type MainsReading, MainsSensor } from './mains.js';
import { type MemoryReading, MemorySensor } from './memory.js';
import { type MemoryPressureReading, MemoryPressureSensor } from './memory-pressure.js';
import { type PowerReading, PowerSensor } from './power.js';
import { type TemperatureReading, TemperatureSensor } from './temperature.js';
import { type ThrottlingReading, ThrottlingSensor } from './throttling.js';

/** One reading of every sensor; null where the board does not tell. */
export interface Readings {
  readonly temperature: TemperatureReading | null;
  readonly throttling: ThrottlingReading | null;
  readonly battery: BatteryReading | null;
  readonly mains: MainsReading | null;
  readonly power: PowerReading | null;
  readonly memory: MemoryReading | null;
  readonly memoryPressure: MemoryPressureReading | null;
  readonly flashWear: FlashWearReading | null;
}

/** The sensors of a board. */
export interface Sensors {
  /** Reads all, synchronously: some dozen small files of the kernel. Does not throw. */
  read(): Readings;
}

export interface SensorOptions {
  /** Folder that holds sys/ and proc/. Default "/", this machine. */
  root?: string;
  /** Milliseconds that only grow. Default: the process's monotonic clock. */
  now?: () => number;
}

/** The sensors of this machine, or of a board simulated by a folder. */
export function openSensors({ root = '/', now = () => performance.now() }: SensorOptions = {}): Sensors {
  const source = { board: new Board(root), now };
  const temperature = new TemperatureSensor(source);
  const throttling = new ThrottlingSensor(source);
  const battery = new BatterySensor(source);
  const mains = new MainsSensor(source);
  const power = new PowerSensor(source);
  const memory = new MemorySensor(source);
  const memoryPressure = new MemoryPressureSensor(source);
  const flashWear = new FlashWearSensor(source);
  return {
    read: () => ({
      temperature: temperature.read(),
      throttling: throttling.read(),
      battery: battery.read(),
      mains: mains.read(),
      power: power.read(),
      memory: memory.read(),
      memoryPressure: memoryPressure.read(),
      flashWear: flashWear.read(),
    }),
  };
}
