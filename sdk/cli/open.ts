import { openModel, type EngineOptions, type Model } from '../index.js';
import type { Terminal } from './terminal.js';

/** Opens a model, says what the person should know of it, and closes it when `use` has ended. */
export async function withModel<T>(
  terminal: Terminal,
  path: string,
  options: EngineOptions,
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await openModel(path, { ...options, signal: terminal.signal });
  try {
    for (const warning of model.description.warnings) terminal.note(`Warning: ${warning}`);
    return await use(model);
  } finally {
    await model.close();
  }
}
