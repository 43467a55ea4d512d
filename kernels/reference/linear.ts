import type { LinearGroup, Matrix } from '../kernels.js';
import { LinearInput, MatrixRows, checkMatrix } from './matrix-rows.js';

/** Checks matrices that share an input. Throws RangeError naming what is wrong. */
export function groupMatrices(matrices: readonly Matrix[]): LinearGroup {
  const first = matrices[0];
  if (!first) throw new RangeError('a group needs at least one matrix');
  let rows = 0;
  for (const m of matrices) {
    checkMatrix(m.type, m.layout, m.rows, m.cols, m.memory);
    if (m.cols !== first.cols)
      throw new RangeError(
        `matrices of one group have ${first.cols} and ${m.cols} columns; they share one input`,
      );
    rows += m.rows;
  }
  return { matrices: [...matrices], rows, cols: first.cols };
}

/** `pm_linear`: every matrix of a group times the tokens of one input, outputs concatenated. */
export class Linear {
  readonly #input = new LinearInput();
  readonly #rows = new MatrixRows();

  get byteLength(): number {
    return this.#input.byteLength + this.#rows.byteLength;
  }

  run(
    group: LinearGroup,
    x: Float32Array,
    xStride: number,
    out: Float32Array,
    outStride: number,
    tokens: number,
  ): void {
    const input = this.#input;
    const rows = this.#rows;
    input.set(x, xStride, tokens, group.cols);
    let at = 0;
    for (const matrix of group.matrices) {
      rows.open(matrix.type, matrix.cols, matrix.memory);
      for (let r = 0; r < matrix.rows; r++, at++) {
        rows.select(r);
        for (let t = 0; t < tokens; t++) out[t * outStride + at] = rows.dot(input, t);
      }
    }
  }
}
