import { readFile } from 'node:fs/promises';
import { OptionError } from '../index.js';

/** A text file that a flag names. Throws OptionError saying why it cannot be read. */
export async function readInput(path: string): Promise<string> {
  return (await readInputBytes(path)).toString('utf8');
}

export async function readInputBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : message;
    throw new OptionError(
      'option/file',
      `cannot read ${path}: ${reason}`,
      'Give the path of a readable file.',
    );
  }
}
