import { createHash } from 'node:crypto';
import { Engine } from '../../sdk/runtime/engine.js';
import { type EngineOptions, resolveOptions } from '../../sdk/runtime/engine-options.js';
import type { KvCache } from '../../sdk/runtime/kv-cache.js';

/**
 * An engine in this thread. The test process itself is larger than any budget worth testing, so tests bound experts
 * with `expertSlots`; budgets are tested on the command, in a process of its own.
 */
export function openEngine(path: string, options: EngineOptions = {}): Promise<Engine> {
  return Engine.open(
    path,
    resolveOptions({ memory: '64GiB', kv: 'f32', threads: 1, lanes: 4, flash: 'direct', ...options }),
  );
}

/** Logits of every token, copied, in batches of at most `batch`. */
export function logitsOf(engine: Engine, tokens: readonly number[], batch = engine.batch): Float32Array[] {
  const kv = engine.createKv(tokens.length);
  try {
    return continueWith(engine, kv, tokens, batch);
  } finally {
    engine.freeKv(kv);
  }
}

/** As {@link logitsOf}, after what `kv` holds. */
export function continueWith(
  engine: Engine,
  kv: KvCache,
  tokens: readonly number[],
  batch = engine.batch,
): Float32Array[] {
  const rows: Float32Array[] = [];
  for (let i = 0; i < tokens.length; i += batch)
    engine.forward(kv, tokens.slice(i, i + batch), 'all', (_, logits) => rows.push(logits.f32.slice()));
  return rows;
}

/** Greedy continuation of a prompt. */
export function greedy(engine: Engine, prompt: readonly number[], count: number): number[] {
  const kv = engine.createKv(prompt.length + count);
  try {
    const out: number[] = [];
    let next = [...prompt];
    while (out.length < count) {
      for (let i = 0; i < next.length; i += engine.batch) {
        const batch = next.slice(i, i + engine.batch);
        engine.forward(kv, batch, i + batch.length === next.length ? 'last' : 'none', (_, logits) => {
          out.push(engine.kernels.argmax(logits, engine.shape.vocabulary));
        });
      }
      next = [out.at(-1)!];
    }
    return out;
  } finally {
    engine.freeKv(kv);
  }
}

/** A digest of each row's bytes: equal digests mean equal bits, and arrays of strings compare fast. */
export const bits = (rows: readonly Float32Array[]): string[] =>
  rows.map((r) =>
    createHash('sha1')
      .update(new Uint8Array(r.buffer, r.byteOffset, r.byteLength))
      .digest('hex'),
  );

/** Worst relative root-mean-square difference over rows. */
export function worstDifference(found: readonly Float32Array[], expected: readonly Float32Array[]): number {
  let worst = 0;
  expected.forEach((row, i) => {
    let difference = 0;
    let size = 0;
    row.forEach((value, j) => {
      difference += (found[i]![j]! - value) ** 2;
      size += value ** 2;
    });
    worst = Math.max(worst, Math.sqrt(difference / size));
  });
  return worst;
}
