/** Process start to first token, ours, as an app would: `node bench-start-engine.mjs ROOT MODEL PROMPT THREADS`. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [root, path, prompt, threads] = process.argv.slice(2) as [string, string, string, string];
const { openModel } = (await import(
  pathToFileURL(join(root, 'dist', 'index.js')).href
)) as typeof import('../../sdk/index.js');
const model = await openModel(path, { threads: Number(threads), contextLength: 256 });
for await (const piece of model.createSession().generate(prompt, { maxTokens: 1 })) {
  process.stdout.write(`${piece.token}\n`);
  break;
}
await model.close();
