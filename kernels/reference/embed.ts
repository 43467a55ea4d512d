import type { Matrix } from '../kernels.js';
import { rowBytes } from '../weight-type.js';
import { dequantiseRow } from './dequantise.js';
import { checkMatrix } from './matrix-rows.js';

/** `pm_embed`: the table's rows of the given ids, dequantised one after the other. */
export function embed(table: Matrix, ids: Int32Array, out: Float32Array): void {
  checkMatrix(table.type, table.layout, table.rows, table.cols, table.memory);
  const bytes = rowBytes(table.type, table.cols);
  ids.forEach((id, t) => {
    if (id < 0 || id >= table.rows) throw new RangeError(`id ${id} is no row of a table of ${table.rows}`);
    const row = table.memory.bytes.subarray(id * bytes, (id + 1) * bytes);
    dequantiseRow(table.type, row, table.cols, out.subarray(t * table.cols, (t + 1) * table.cols));
  });
}
