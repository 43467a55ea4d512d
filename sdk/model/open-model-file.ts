import { statSync } from 'node:fs';
import { ModelFormatError } from '../error.js';
import { openError } from './byte-source.js';
import { openGguf } from './gguf-model.js';
import type { ModelFile } from './model-file.js';
import { MANIFEST_FILE } from './package-manifest.js';
import { openPackage } from './package-model.js';

/** True when the path is a package's directory, false when it is a file. Throws ModelFormatError (model/open). */
export function isPackage(path: string): boolean {
  try {
    const stat = statSync(path);
    if (stat.isFile()) return false;
    if (stat.isDirectory()) return true;
  } catch (error) {
    throw openError(path, error);
  }
  throw new ModelFormatError(
    'model/open',
    `${path} is neither a file nor a directory`,
    `Give the path of a GGUF file or of a package, the directory with ${MANIFEST_FILE}.`,
  );
}

/**
 * Opens a model on flash: the directory of a package, or a GGUF file (any part of a split set).
 *
 * @throws ModelFormatError (model/*) for what is damaged or no model, UnsupportedError for unknown weight types.
 */
export async function openModelFile(path: string): Promise<ModelFile> {
  if (!isPackage(path)) return openGguf(path);
  return openPackage(path);
}
