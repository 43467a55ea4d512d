import { SpoolError } from './spool-error.js';

/** The module `sqlite3`. */
export type Sqlite = typeof import('sqlite3');

/**
 * Loads `sqlite3` when a spool is first opened: it is an optional dependency, and nothing else needs it. Throws
 * SpoolError spool/no-sqlite when it is not installed or has no binary for this machine.
 */
export async function loadSqlite(): Promise<Sqlite> {
  try {
    const module = (await import('sqlite3')) as unknown as { default: Sqlite };
    return module.default;
  } catch (cause) {
    throw new SpoolError(
      'spool/no-sqlite',
      `the package sqlite3 does not load: ${cause instanceof Error ? cause.message.split('\n')[0] : String(cause)}`,
      'Run `npm install sqlite3`, or `npm rebuild sqlite3` after changing Node or the machine.',
      { cause },
    );
  }
}
