import { Random } from '../kernels/random.js';
import { referenceResult } from './reference-result.js';
import { GUARD, type Vector } from './vector-file.js';

const LENGTHS = [1, 2, 3, 7, 8, 17, 64, 100, 1027];

function sumVectors(): Vector[] {
  const scale = Math.fround(0.3);
  return LENGTHS.flatMap((n): Vector[] => {
    const random = new Random(n);
    const x = random.floats(n);
    const before = Float32Array.of(...random.floats(n), GUARD);
    const added = referenceResult((desk) => {
      const y = desk.floats(before);
      desk.kernels.addScaled(desk.floats(x), scale, y, n);
      return y.f32;
    });
    const scaled = referenceResult((desk) => {
      const y = desk.floats(before);
      desk.kernels.scale(y, scale, n);
      return y.f32;
    });
    const both = { numbers: [scale, n], before };
    return [
      {
        ...{ kernel: 'add_scaled', name: `add_scaled ${n}`, ...both, inputs: [x], expected: added },
        // One rounding with a fused multiply-add, two without, of terms of about one.
        closeness: { kind: 'rms', limit: 1e-7 },
      },
      {
        ...{ kernel: 'scale', name: `scale ${n}`, ...both, inputs: [], expected: scaled },
        closeness: { kind: 'same bits' },
      },
    ];
  });
}

function argmaxVectors(): Vector[] {
  const random = new Random(1);
  const rows = [
    ...LENGTHS.map((n) => {
      const x = Float32Array.from({ length: n }, () => random.below(9) - 4);
      if (n > 2) x[random.below(n)] = NaN;
      return x;
    }),
    Float32Array.of(NaN, NaN, NaN),
    Float32Array.of(NaN, -Infinity, NaN),
    Float32Array.of(-Infinity, -Infinity),
    Float32Array.of(NaN, 1, Infinity, Infinity),
    Float32Array.of(-0, 0),
  ];
  return rows.map((x, i) => ({
    kernel: 'argmax',
    name: `argmax ${x.length} values, row ${i}`,
    numbers: [x.length],
    inputs: [x],
    before: Float32Array.of(GUARD),
    expected: referenceResult((desk) => Float32Array.of(desk.kernels.argmax(desk.floats(x), x.length))),
    closeness: { kind: 'same bits' },
  }));
}

/** Sums and choices over one row. */
export const rowVectors = (): Vector[] => [...sumVectors(), ...argmaxVectors()];
