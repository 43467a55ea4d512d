import type { Architecture, ModelShape } from '../architectures/architecture.js';
import { findFamily } from '../architectures/families.js';
import type { ModelFile } from '../model/model-file.js';
import { openModelFile } from '../model/open-model-file.js';
import { DenseWeights } from './dense-weights.js';

/** What is known of a model before any weight is read. */
export interface Examined {
  readonly file: ModelFile;
  readonly family: Architecture;
  readonly shape: ModelShape;
  /** Memory that the dense weights will take. */
  readonly denseBytes: number;
}

/** Reads a model's header, finds its family and checks every tensor. Throws ModelFormatError or UnsupportedError. */
export async function examineModel(path: string): Promise<Examined> {
  const file = await openModelFile(path);
  const family = findFamily(file.architecture, path);
  const shape = family.shape(file);
  const counted = new DenseWeights(file, null);
  family.weights(counted, shape);
  counted.assertAllNamed();
  return { file, family, shape, denseBytes: counted.bytes };
}
