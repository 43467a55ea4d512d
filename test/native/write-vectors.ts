import { writeFileSync } from 'node:fs';
import { expertVectors } from './expert-vectors.js';
import { matrixVectors } from './matrix-vectors.js';
import { rowVectors } from './row-vectors.js';
import { tokenVectors } from './token-vectors.js';
import { vectorFile } from './vector-file.js';

/**
 * `node scripts/run.mjs test/native/write-vectors.ts FILE`: calls of every kernel with the reference's results, for
 * test/native/vectors.cpp to compare with. The same bytes every time.
 */
const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('Usage: node scripts/run.mjs test/native/write-vectors.ts FILE');
  process.exit(2);
}
const vectors = [...matrixVectors(), ...tokenVectors(), ...expertVectors(), ...rowVectors()];
const bytes = vectorFile(vectors);
writeFileSync(file, bytes);
console.log(`${file}: ${vectors.length} vectors, ${(bytes.length / 1e6).toFixed(1)} MB`);
