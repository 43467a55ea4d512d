import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSeries, type Schema, schemaOf } from '../../sdk/fleet/index.js';

/** Schemas by id. Records wait in the spool over updates and restarts; what their positions mean has to wait with them. */
export interface SchemaStore {
  get(id: string): Promise<Schema | null>;
  put(schema: Schema): Promise<void>;
}

/** Keeps schemas as long as the process lives. */
export class MemorySchemaStore implements SchemaStore {
  readonly #schemas = new Map<string, Schema>();

  async get(id: string): Promise<Schema | null> {
    return this.#schemas.get(id) ?? null;
  }

  async put(schema: Schema): Promise<void> {
    this.#schemas.set(schema.id, schema);
  }
}

/** Keeps the latest schemas as files `<id>.json` in a folder, which is made when missing. */
export class FolderSchemaStore implements SchemaStore {
  readonly #known = new Map<string, Schema>();

  constructor(
    private readonly folder: string,
    /** Files kept; the oldest go. A board's schema changes with updates, models and sensors. */
    private readonly most = 32,
  ) {}

  async get(id: string): Promise<Schema | null> {
    if (!/^[0-9a-f]{8}$/.test(id)) return null;
    const known = this.#known.get(id);
    if (known) return known;
    try {
      const schema = schemaOf(
        checkSeries(JSON.parse(await readFile(join(this.folder, `${id}.json`), 'utf8'))),
      );
      if (schema.id !== id) return null; // damaged
      this.#known.set(id, schema);
      return schema;
    } catch {
      return null;
    }
  }

  async put(schema: Schema): Promise<void> {
    if (this.#known.has(schema.id)) return;
    await mkdir(this.folder, { recursive: true });
    const path = join(this.folder, `${schema.id}.json`);
    await writeFile(`${path}.${process.pid}`, JSON.stringify(schema.series));
    await rename(`${path}.${process.pid}`, path);
    this.#known.set(schema.id, schema);
    const files = (await readdir(this.folder)).filter((name) => /^[0-9a-f]{8}\.json$/.test(name));
    if (files.length <= this.most) return;
    const dated = await Promise.all(
      files.map(async (name) => ({ name, at: (await stat(join(this.folder, name))).mtimeMs })),
    );
    dated.sort((a, b) => b.at - a.at);
    for (const { name } of dated.slice(this.most)) await unlink(join(this.folder, name)).catch(() => {});
  }
}
