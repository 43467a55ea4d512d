import type { ExpertJob, ExpertRunStats, ExpertShape } from '../kernels.js';
import { activate } from './activation.js';
import { LinearInput, MatrixRows, checkMatrix } from './matrix-rows.js';

const { fround, round } = Math;

/** How long to look at the words without sleeping, and how long one sleep is, in milliseconds. */
const LOOK_MS = 0.05;
const SLEEP_MS = 0.1;

const JobState = { Pending: 0, Ready: 1, Failed: 2 } as const;
type JobState = (typeof JobState)[keyof typeof JobState];

/** State of a job's data: failed when any matrix failed, ready when all three are there. */
function stateOf(job: ExpertJob): JobState {
  if (!job.ready) return JobState.Ready;
  let state: JobState = JobState.Ready;
  for (const word of job.ready) {
    const value = Atomics.load(word.i32, 0);
    if (value < 0) return JobState.Failed;
    if (value === 0) state = JobState.Pending;
  }
  return state;
}

/** `pm_experts_ffn`: down(activation(gate · x) · (up · x)) of several experts, each when its data is there. */
export class ExpertsFfn {
  readonly #input = new LinearInput();
  readonly #hiddenInput = new LinearInput();
  readonly #gate = new MatrixRows();
  readonly #up = new MatrixRows();
  readonly #down = new MatrixRows();
  #gathered = new Float32Array(0);
  #hidden = new Float32Array(0);
  readonly #clock = new Int32Array(new SharedArrayBuffer(4));

  get byteLength(): number {
    let bytes = this.#gathered.byteLength + this.#hidden.byteLength;
    for (const part of [this.#input, this.#hiddenInput, this.#gate, this.#up, this.#down])
      bytes += part.byteLength;
    return bytes;
  }

  /** Returns -1, or the index of a failed job. */
  run(
    shape: ExpertShape,
    jobs: readonly ExpertJob[],
    x: Float32Array,
    xStride: number,
    y: Float32Array,
    yStride: number,
    stats: ExpertRunStats,
  ): number {
    for (const job of jobs) checkJob(shape, job);
    const done = new Uint8Array(jobs.length);
    const late = new Uint8Array(jobs.length);
    let left = jobs.length;
    while (left > 0) {
      let progress = false;
      for (const [i, job] of jobs.entries()) {
        if (done[i]) continue;
        const state = stateOf(job);
        if (state === JobState.Failed) return i;
        if (state === JobState.Pending) continue;
        this.#compute(shape, job, x, xStride, y, yStride, stats);
        done[i] = 1;
        left--;
        progress = true;
      }
      if (progress || left === 0) continue;
      jobs.forEach((_, i) => {
        if (done[i] || late[i]) return;
        late[i] = 1;
        stats.late++;
      });
      this.#waitForAny(jobs, done, stats);
    }
    return -1;
  }

  /** Blocks until the state of some unfinished job is no longer pending. */
  #waitForAny(jobs: readonly ExpertJob[], done: Uint8Array, stats: ExpertRunStats): void {
    const start = performance.now();
    while (jobs.every((job, i) => done[i] || stateOf(job) === JobState.Pending))
      if (performance.now() - start > LOOK_MS) Atomics.wait(this.#clock, 0, 0, SLEEP_MS);
    stats.stallNs += round((performance.now() - start) * 1e6);
  }

  #compute(
    shape: ExpertShape,
    job: ExpertJob,
    x: Float32Array,
    xStride: number,
    y: Float32Array,
    yStride: number,
    stats: ExpertRunStats,
  ): void {
    const { width, hidden } = shape;
    const count = job.tokens.length;
    if (this.#gathered.length < count * width) this.#gathered = new Float32Array(count * width);
    if (this.#hidden.length < count * hidden) this.#hidden = new Float32Array(count * hidden);
    const gathered = this.#gathered;
    const h = this.#hidden;
    job.tokens.forEach((token, i) =>
      gathered.set(x.subarray(token * xStride, token * xStride + width), i * width),
    );
    const input = this.#input;
    input.set(gathered, width, count, width);
    this.#gate.open(shape.gateType, width, job.gate);
    this.#up.open(shape.upType, width, job.up);
    this.#down.open(shape.downType, hidden, job.down);

    for (let r = 0; r < hidden; r++) {
      this.#gate.select(r);
      let active = 0;
      for (let i = 0; i < count; i++) {
        const value = fround(activate(shape.activation, fround(this.#gate.dot(input, i))));
        h[i * hidden + r] = value;
        if (value !== 0) active++;
      }
      stats.rowsTotal += count;
      stats.rowsActive += active;
      if (shape.skip && active === 0) continue;
      this.#up.select(r);
      for (let i = 0; i < count; i++) {
        const at = i * hidden + r;
        if (!shape.skip || h[at] !== 0) h[at] = h[at]! * fround(this.#up.dot(input, i));
      }
    }

    const hiddenInput = this.#hiddenInput;
    hiddenInput.set(h, hidden, count, hidden);
    for (let r = 0; r < width; r++) {
      this.#down.select(r);
      for (let i = 0; i < count; i++) y[job.targets[i]! * yStride + r] = this.#down.dot(hiddenInput, i);
    }
  }
}

function checkJob(shape: ExpertShape, job: ExpertJob): void {
  checkMatrix(shape.gateType, shape.gateLayout, shape.hidden, shape.width, job.gate);
  checkMatrix(shape.upType, shape.upLayout, shape.hidden, shape.width, job.up);
  checkMatrix(shape.downType, shape.downLayout, shape.width, shape.hidden, job.down);
  if (job.tokens.length !== job.targets.length)
    throw new RangeError(`an expert's job has ${job.tokens.length} tokens and ${job.targets.length} targets`);
}
