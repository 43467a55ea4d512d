import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { MemoryBudgetError, PocketMoeError } from '../error.js';
import { packageRoot } from '../../kernels/native/package-root.js';
import type { Answer, ModelDescription, Request, WorkerData } from './protocol.js';

/** Young generation of the worker's heap: small, since a token leaves little garbage. MiB. */
const YOUNG_GENERATION_MIB = 8;

type Listener = (answer: Answer) => void;
type Sent<T> = T extends Request ? Omit<T, 'id'> : never;

/** The app thread's end of the line to an engine worker. */
export class WorkerLink {
  readonly #listeners = new Map<number, Listener>();
  #next = 1;
  #ended: Error | null = null;

  private constructor(
    private readonly worker: Worker,
    readonly model: ModelDescription,
  ) {
    worker.on('message', (answer: Answer) => {
      if ('id' in answer) this.#listeners.get(answer.id)?.(answer);
    });
    worker.on('error', (error) => this.#end(error));
    worker.on('exit', () =>
      this.#end(new PocketMoeError('model/closed', 'the model is closed', 'Open it again.')),
    );
  }

  /** Starts a worker and waits until its model is open. Throws the model's typed error, or the signal's reason. */
  static async start(data: WorkerData, signal?: AbortSignal): Promise<WorkerLink> {
    signal?.throwIfAborted();
    const root = packageRoot();
    if (root === null) throw new Error('the folder of the pocketmoe package was not found');
    const worker = new Worker(join(root, 'dist', 'engine-worker.js'), {
      workerData: data,
      name: 'pocketmoe-engine',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    });
    let give = () => {};
    const answer = await new Promise<Answer>((resolve, reject) => {
      give = () => reject(signal!.reason as Error);
      signal?.addEventListener('abort', give, { once: true });
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the engine worker ended with code ${code}`)));
    })
      .catch(async (error: unknown) => {
        await worker.terminate();
        throw error;
      })
      .finally(() => signal?.removeEventListener('abort', give));
    if (answer.type === 'open') return new WorkerLink(worker, answer.model);
    await worker.terminate();
    throw answer.type === 'failed'
      ? revive(answer.error)
      : new Error('the engine worker did not open the model');
  }

  /** Sends a request and resolves with its single answer. */
  call<T>(request: Sent<Request>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { end } = this.open(request, (answer) => {
        end();
        if (answer.type === 'done') resolve(answer.value as T);
        else if (answer.type === 'error') reject(revive(answer.error));
      });
    });
  }

  /** Sends a request with several answers; `end` stops listening. */
  open(request: Sent<Request>, listener: Listener): { id: number; end: () => void } {
    if (this.#ended) throw this.#ended;
    const id = this.#next++;
    this.#listeners.set(id, listener);
    this.worker.postMessage({ ...request, id });
    return { id, end: () => void this.#listeners.delete(id) };
  }

  /** Closes the model and ends the thread. Idempotent. */
  async close(): Promise<void> {
    if (this.#ended) return;
    await this.call({ type: 'close' }).catch(() => {});
    await this.worker.terminate();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    const report = {
      code: (error as Partial<PocketMoeError>).code ?? 'internal',
      message: error.message,
      hint:
        (error as Partial<PocketMoeError>).hint ??
        'Open the model again; please report it if it happens again.',
    };
    for (const [id, listener] of [...this.#listeners]) {
      this.#listeners.delete(id);
      listener({ type: 'error', id, error: report });
    }
  }
}

/** The typed error that crossed the thread boundary. */
export function revive(error: {
  code: string;
  message: string;
  hint: string;
  smallestBytes?: number;
}): Error {
  if (error.code === 'memory/too-small')
    return new MemoryBudgetError(error.message, error.hint, error.smallestBytes ?? 0);
  if (error.code === 'aborted') return new DOMException(error.message, 'AbortError');
  return new PocketMoeError(error.code, error.message, error.hint);
}
