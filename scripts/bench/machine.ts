import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { probe } from '../../firmware-bridge/flash/probe.js';
import { Layout } from '../../kernels/kernels.js';
import { openKernels } from '../../kernels/open.js';
import { WeightType } from '../../kernels/weight-type.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { readMemory } from './memory-reader.js';

/** Far larger than any cache. */
const MATRIX = { rows: 24_576, cols: 4096 };
const SWEEPS = 4;
const PROBE_MS = 1000;

/** What this machine is. */
export function describeMachine() {
  const { kernels, warning } = openKernels({ threads: 1 });
  const { isa } = kernels;
  kernels.close();
  return {
    processor: processorName(),
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    isa,
    warning,
    loadAtStart: loadavg()[0]!,
  };
}

function processorName(): string {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(text)?.[1];
    const model = field('model name') ?? cpus()[0]?.model ?? 'unknown';
    return field('cpu family') ? `${model}, family ${field('cpu family')} model ${field('model\\s')}` : model;
  } catch {
    return cpus()[0]?.model ?? 'unknown';
  }
}

/** The bounds that no engine passes. Measured again and again during a run; the best counts as the limit. */
export class MachineLimits {
  readonly #memory = new Map<number, number[]>();
  readonly #flash = new Map<string, number[]>();

  /** How fast `threads` threads read memory: searching it, and multiplying a matrix of float32 numbers. */
  async sampleMemory(threads: number): Promise<void> {
    add(this.#memory, threads, await readMemory(threads));
    const { kernels } = openKernels({ threads });
    if (kernels.isa === 'reference') return kernels.close();
    const { rows, cols } = MATRIX;
    const memory = kernels.alloc(rows * cols * 4);
    const x = kernels.alloc(cols * 4);
    const out = kernels.alloc(rows * 4);
    try {
      // pages that were never written would all be the same zeros
      memory.f32.fill(1);
      const group = kernels.group([{ type: WeightType.F32, layout: Layout.Rows, rows, cols, memory }]);
      for (let i = 0; i < SWEEPS; i++) {
        const begun = performance.now();
        kernels.linear(group, x, cols, out, rows, 1);
        add(this.#memory, threads, (memory.byteLength * 1000) / (performance.now() - begun));
      }
    } finally {
      for (const span of [memory, x, out]) kernels.free(span);
      kernels.close();
    }
  }

  /** Null before the first sample. */
  memory(threads: number): number | null {
    const found = this.#memory.get(threads);
    return found ? Math.max(...found) : null;
  }

  /** Bytes per second that random reads of the model's expert pieces reach, the fastest way there is. */
  async sampleFlash(path: string): Promise<number> {
    const file = await openModelFile(path);
    const piece = file.experts.values().next().value!.pieces[0]![0]!;
    const found = await probe(file.files[piece.file]!, { extentBytes: piece.length, budgetMs: PROBE_MS });
    add(this.#flash, path, found.bytesPerSecond);
    return found.bytesPerSecond;
  }

  /** Everything measured, for the report. */
  report() {
    return {
      memoryBytesPerSecond: Object.fromEntries([...this.#memory].map(([k, v]) => [k, Math.max(...v)])),
      flashBytesPerSecond: Object.fromEntries([...this.#flash].map(([k, v]) => [k, Math.max(...v)])),
    };
  }
}

function add<K>(map: Map<K, number[]>, key: K, value: number): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
