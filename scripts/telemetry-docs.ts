/** Writes what follows from device/telemetry/metrics.ts: `node scripts/run.mjs scripts/telemetry-docs.ts`. */
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { asyncApi, jsonSchema, withTable } from '../device/telemetry/documents.js';

async function writeJson(path: string, value: object): Promise<void> {
  const style = await resolveConfig(path);
  await writeFile(path, await format(JSON.stringify(value), { ...style, parser: 'json' }));
}

await writeJson('docs/telemetry.schema.json', jsonSchema());
await writeJson('docs/telemetry.asyncapi.json', asyncApi());
await writeFile('docs/telemetry.md', withTable(await readFile('docs/telemetry.md', 'utf8')));
