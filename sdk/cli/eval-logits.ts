import { open, rename, rm } from 'node:fs/promises';
import { endianness } from 'node:os';
import { OptionError, type Model } from '../index.js';
import type { Terminal } from './terminal.js';

/**
 * Writes a row of raw little-endian float32 logits per token: row i predicts the token after token i. The file appears
 * when it is complete.
 */
export async function writeLogits(
  terminal: Terminal,
  model: Model,
  tokens: readonly number[],
  path: string,
): Promise<{ rows: number; columns: number }> {
  const partial = `${path}.${process.pid}.partial`;
  const file = await open(partial, 'w').catch((error: Error) => {
    throw new OptionError(
      'option/logits',
      `cannot write ${path}: ${error.message}`,
      'Give a path that can be written.',
    );
  });
  let rows = 0;
  let columns = 0;
  try {
    for await (const row of model.logits(tokens, { signal: terminal.signal })) {
      const bytes = Buffer.from(row.buffer, row.byteOffset, row.byteLength);
      await file.writeFile(endianness() === 'LE' ? bytes : bytes.swap32());
      columns = row.length;
      rows++;
      terminal.bar(rows, tokens.length, 'logits');
    }
    await file.close();
    await rename(partial, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(partial, { force: true });
    throw error;
  }
  return { rows, columns };
}
