import { describe, expect, test } from '@jest/globals';
import { SYNTHETIC_PRESETS, SyntheticRouter, syntheticTrace } from '../../sdk/experts/synthetic-trace.js';
import { decodeTrace, encodeTrace } from '../../sdk/experts/trace-file.js';
import { TraceRecorder } from '../../sdk/experts/trace-recorder.js';
import { NO_EXPERT, RoutingTrace, TraceError } from '../../sdk/experts/trace.js';

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TraceError) return error.code;
    throw error;
  }
  return 'none';
}

describe('file', () => {
  test.each([
    { layers: 3, expertsPerLayer: 8, usedPerLayer: 2 },
    { layers: 2, expertsPerLayer: 255, usedPerLayer: 8 },
    { layers: 2, expertsPerLayer: 256, usedPerLayer: 8 },
    { layers: 1, expertsPerLayer: 0xfffe, usedPerLayer: 1 },
  ])('$usedPerLayer of $expertsPerLayer come back as written, gaps at the end included', (shape) => {
    const ids = syntheticTrace({ ...shape, skew: 0.5, persistence: 0.1, seed: 3 }, 5).ids.slice();
    ids[0] = shape.expertsPerLayer - 1;
    for (let i = 1; i < shape.usedPerLayer; i++) ids[i] = NO_EXPERT;
    const trace = new RoutingTrace(shape, ids);
    const bytes = encodeTrace(trace);
    expect(bytes.length).toBe(24 + ids.length * (shape.expertsPerLayer <= 255 ? 1 : 2));
    const back = decodeTrace(bytes);
    expect(back).toMatchObject({ ...shape, tokens: 5 });
    expect(back.ids).toEqual(ids);
    expect(back.step(0, 0)).toEqual(Uint16Array.of(shape.expertsPerLayer - 1));
    expect(encodeTrace(back)).toEqual(bytes);
  });

  test('an empty trace is a trace', () => {
    const shape = { layers: 2, expertsPerLayer: 4, usedPerLayer: 1 };
    expect(decodeTrace(encodeTrace(new RoutingTrace(shape, new Uint16Array(0)))).tokens).toBe(0);
  });

  const good = encodeTrace(syntheticTrace({ ...SYNTHETIC_PRESETS['demo']!, seed: 1 }, 6));
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = good.slice();
    new DataView(bytes.buffer).setUint32(at, value, true);
    return bytes;
  };

  test('cut off anywhere, or longer than it says, it is refused', () => {
    for (let length = 0; length < good.length; length++) {
      expect(codeOf(() => decodeTrace(good.subarray(0, length)))).toBe(
        length < 24 ? 'trace/format' : 'trace/length',
      );
    }
    expect(codeOf(() => decodeTrace(Uint8Array.of(...good, 0)))).toBe('trace/length');
  });

  test('a hostile header is refused before anything is allocated', () => {
    expect(codeOf(() => decodeTrace(changed(0, 1)))).toBe('trace/format');
    expect(codeOf(() => decodeTrace(changed(4, 2)))).toBe('trace/version');
    for (const at of [8, 12, 16]) {
      expect(codeOf(() => decodeTrace(changed(at, 0)))).toBe('trace/shape');
      expect(codeOf(() => decodeTrace(changed(at, 0xffffffff)))).toBe('trace/shape');
    }
    expect(codeOf(() => decodeTrace(changed(12, 3)))).toBe('trace/shape');
    expect(codeOf(() => decodeTrace(changed(20, 0xffffffff)))).toBe('trace/length');
    expect(codeOf(() => decodeTrace(changed(8, 0xfffe)))).toBe('trace/length');
  });

  test('any byte changed gives a valid trace or a typed error', () => {
    const seen = new Set<string>();
    for (let at = 0; at < good.length; at++) {
      for (const value of [0, 1, 31, 32, 127, 254, 255]) {
        const bytes = good.slice();
        bytes[at] = value;
        seen.add(codeOf(() => decodeTrace(bytes)));
      }
    }
    expect([...seen].sort()).toEqual([
      'none',
      'trace/format',
      'trace/id',
      'trace/length',
      'trace/shape',
      'trace/version',
    ]);
  });

  test('repeated, too large and gapped ids name their place', () => {
    const shape = { layers: 2, expertsPerLayer: 4, usedPerLayer: 2 };
    const build = (...ids: number[]): RoutingTrace => new RoutingTrace(shape, Uint16Array.from(ids));
    expect(() => build(0, 1, 2, 2)).toThrow('expert 2 twice at token 0, layer 1');
    expect(() => build(0, 1, 2, 3, 0, 4, 0, 1)).toThrow('expert 4 of 4 at token 1, layer 0');
    expect(() => build(0, 1, NO_EXPERT, 3)).toThrow('gap at token 0, layer 1');
    expect(codeOf(() => build(0, 1, 2))).toBe('trace/length');
  });
});

describe('recorder', () => {
  const shape = { layers: 3, expertsPerLayer: 16, usedPerLayer: 4 };

  test('gives back what it was told, growing as needed', () => {
    const trace = syntheticTrace({ ...shape, skew: 1, persistence: 0.2, seed: 8 }, 300);
    const recorder = new TraceRecorder(shape);
    for (let token = 0; token < 300; token++) {
      for (let layer = 0; layer < 3; layer++) recorder.record(layer, trace.step(token, layer));
    }
    expect(recorder.tokens).toBe(300);
    expect(recorder.trace().ids).toEqual(trace.ids);
  });

  test('keeps whole tokens only: one that was left unfinished goes when the next begins', () => {
    const recorder = new TraceRecorder(shape);
    recorder.record(0, [1, 2]);
    recorder.record(1, [3]);
    expect(recorder.trace().tokens).toBe(0);
    for (const layer of [0, 1, 2]) recorder.record(layer, [layer + 5]);
    const trace = recorder.trace();
    expect(trace.tokens).toBe(1);
    expect([...trace.step(0, 0), ...trace.step(0, 1), ...trace.step(0, 2)]).toEqual([5, 6, 7]);
  });

  test('refuses what no router can say, and records nothing of it', () => {
    const recorder = new TraceRecorder(shape);
    expect(codeOf(() => recorder.record(1, [0]))).toBe('trace/order');
    for (const ids of [[0, 1, 2, 3, 4], [16], [-1], [0.5], [NaN], [3, 3]]) {
      expect(codeOf(() => recorder.record(0, ids))).toBe('trace/id');
    }
    for (const layer of [0, 1, 2]) recorder.record(layer, [0]);
    expect(recorder.tokens).toBe(1);
    expect(codeOf(() => new TraceRecorder({ ...shape, layers: 0 }))).toBe('trace/shape');
  });

  test('stops at its limit', () => {
    const recorder = new TraceRecorder(shape, 2);
    for (let token = 0; token < 5; token++) for (const layer of [0, 1, 2]) recorder.record(layer, [token]);
    expect(recorder.trace().tokens).toBe(2);
    expect([...recorder.trace().step(1, 2)]).toEqual([1]);
  });
});

describe('synthetic router', () => {
  test.each([
    ['flat', 0.25, 0.3, 0.11, 0.14],
    ['demo', 0.29, 0.41, 0.1, 0.2],
    ['skew0', 0.32, 0.37, 0.12, 0.18],
    ['skew1', 0.7, 0.76, 0.36, 0.44],
    ['skew2', 0.9, 0.96, 0.66, 0.76],
  ])('%s has the statistics it stands for', (preset, topLow, topHigh, sharedLow, sharedHigh) => {
    const trace = syntheticTrace({ ...SYNTHETIC_PRESETS[preset]!, seed: 6 }, 400);
    let top = 0;
    let shared = 0;
    for (let layer = 0; layer < trace.layers; layer++) {
      const counts = new Array<number>(32).fill(0);
      for (let token = 0; token < 400; token++) {
        const now = trace.step(token, layer);
        for (const expert of now) {
          counts[expert]!++;
          if (token > 0 && trace.step(token - 1, layer).includes(expert)) shared++;
        }
      }
      counts.sort((a, b) => b - a);
      for (const count of counts.slice(0, 8)) top += count;
    }
    const requests = trace.ids.length;
    expect(top / requests).toBeGreaterThan(topLow);
    expect(top / requests).toBeLessThan(topHigh);
    expect(shared / requests).toBeGreaterThan(sharedLow);
    expect(shared / requests).toBeLessThan(sharedHigh);
  });

  test('the seed decides everything', () => {
    const options = SYNTHETIC_PRESETS['topics']!;
    expect(syntheticTrace({ ...options, seed: 2 }, 30).ids).toEqual(
      syntheticTrace({ ...options, seed: 2 }, 30).ids,
    );
    expect(syntheticTrace({ ...options, seed: 2 }, 30).ids).not.toEqual(
      syntheticTrace({ ...options, seed: 3 }, 30).ids,
    );
    const router = new SyntheticRouter({ ...options, seed: 2 });
    expect(router.trace(10).ids).not.toEqual(router.trace(10).ids);
  });
});
