import { UnsupportedError } from '../error.js';
import type { Architecture } from './architecture.js';
import { granitemoe } from './granitemoe.js';
import { llama } from './llama.js';
import { olmoe } from './olmoe.js';
import { qwen3moe } from './qwen3moe.js';
import { smallthinker } from './smallthinker.js';

/** Every family that runs; one file each. */
export const FAMILIES: readonly Architecture[] = [smallthinker, qwen3moe, olmoe, llama, granitemoe];

/** The family of `general.architecture`. Throws UnsupportedError with the list of known names. */
export function findFamily(name: string, path: string): Architecture {
  const family = FAMILIES.find((f) => f.name === name);
  if (!family)
    throw new UnsupportedError(
      'unsupported/architecture',
      `${path}: model family "${name}" is not supported`,
      `Known families: ${FAMILIES.map((f) => `${f.name} (${f.models})`).join('; ')}.`,
    );
  return family;
}
