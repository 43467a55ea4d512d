import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../../test/models/random.js';
import { type Row, type Samples, toRow } from './figure.js';
import type { MachineLimits } from './machine.js';
import type { ModelFolder } from './models.js';
import { waitForQuiet } from './quiet.js';

export interface BenchOptions {
  readonly root: string;
  /** Small models and short runs, to try the harness. */
  readonly quick: boolean;
  readonly only: RegExp | null;
  readonly rounds: number;
  readonly threads: readonly number[];
  readonly skews: readonly number[];
  /** KiB of read-ahead to try the mapping peer with; empty: as the system has it. */
  readonly readAhead: readonly number[];
  /** Ours opens the GGUF file itself instead of the package made from it. */
  readonly gguf: boolean;
  /** One more engine for limited decode, and where its models lie (null: as ours). */
  readonly external: { readonly program: string; readonly models: ModelFolder | null } | null;
  /** Seconds to wait for a quiet machine before each measurement. */
  readonly patience: number;
}

/** One run of the benchmark: what the groups of figures share. */
export class Bench {
  readonly rows: Row[] = [];
  readonly #started = new Date().toISOString().replaceAll(':', '-').slice(0, 19);
  /** Measurements begun on a busy machine, and all. */
  noisy = 0;
  measurements = 0;

  /**
   * @param models where models lie for resident runs
   * @param flashModels where models lie for limited runs: on the device to be measured
   */
  constructor(
    readonly options: BenchOptions,
    readonly models: ModelFolder,
    readonly flashModels: ModelFolder,
    readonly limits: MachineLimits,
  ) {}

  say(line: string): void {
    process.stderr.write(`${line}\n`);
  }

  wants(...figures: string[]): boolean {
    const { only } = this.options;
    return only === null || figures.some((figure) => only.test(figure));
  }

  /** Adds a row, unless it was not asked for, and keeps its samples and what else `raw` holds. */
  add(samples: Samples, raw: object = {}): void {
    if (!this.wants(samples.figure)) return;
    const row = toRow(samples);
    this.rows.push(row);
    this.keep(samples.figure, { row, samples, ...raw });
    const ratio = row.ratio === null ? '' : ` (${row.ratio.toFixed(2)} ×)`;
    this.say(`${row.figure}: ${row.ours.toPrecision(3)} ${row.unit}${ratio}`);
  }

  /** Writes something to build/bench/, under this run's time and a name. */
  keep(name: string, content: object): void {
    const folder = join(this.options.root, 'build', 'bench');
    mkdirSync(folder, { recursive: true });
    const file = `${this.#started}-${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.json`;
    writeFileSync(join(folder, file), `${JSON.stringify(content, null, 1)}\n`);
  }

  /** Before each measurement. */
  async quiet(): Promise<void> {
    this.measurements++;
    if (!(await waitForQuiet(this.options.patience))) this.noisy++;
  }

  /** The same ids for everyone, the same in every run. */
  tokens(count: number, vocabulary: number): number[] {
    const random = new Random('bench tokens');
    return Array.from({ length: count }, () => random.below(vocabulary));
  }

  /** Path of the model as ours opens it. */
  ours(folder: ModelFolder, model: Parameters<ModelFolder['gguf']>[0]): Promise<string> {
    return this.options.gguf ? Promise.resolve(folder.gguf(model)) : folder.package(model);
  }
}

export const threadsText = (threads: number) => `${threads} ${threads === 1 ? 'thread' : 'threads'}`;
