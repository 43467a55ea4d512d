import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The release whose prebuilt library the tests compare with; its package has llama.cpp's sources as a git bundle. */
const PACKAGE = 'node-llama-cpp@3.22.1';
const INTEGRITY =
  'sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==';
const BUILD = new URL('../../build/', import.meta.url).pathname;

/**
 * A folder with llama.cpp's own vocabularies (ggml-vocab-NAME.gguf, and for most texts in .inp with their ids in .out).
 * The first call downloads 36 MB from the npm registry; the folder stays in build/, which git does not keep.
 * Throws Error when npm, tar or git fail or the package is not the expected one.
 */
export function llamaVocabularies(): string {
  const folder = join(BUILD, 'vocabularies', PACKAGE);
  if (existsSync(folder)) return folder;
  mkdirSync(join(BUILD, 'vocabularies'), { recursive: true });
  const work = mkdtempSync(join(BUILD, 'vocabularies', 'partial-'));
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: work, maxBuffer: 2 ** 26, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    run('npm', 'pack', '--silent', PACKAGE);
    const archive = `${PACKAGE.replace('@', '-')}.tgz`;
    const hash = createHash('sha512').update(readFileSync(join(work, archive)));
    if (`sha512-${hash.digest('base64')}` !== INTEGRITY) throw new Error(`${PACKAGE} is not what it was`);
    run('tar', '-xzf', archive, 'package/llama/gitRelease.bundle');
    run('git', 'clone', '--quiet', '--bare', 'package/llama/gitRelease.bundle', 'sources');
    const git = (...args: string[]) => run('git', '--git-dir=sources', ...args);
    const ready = join(work, 'ready');
    mkdirSync(ready);
    for (const name of git('ls-tree', '--name-only', 'HEAD', 'models/').toString().split('\n'))
      if (name.startsWith('models/ggml-vocab-'))
        writeFileSync(join(ready, name.slice('models/'.length)), git('show', `HEAD:${name}`));
    // Another test process may have been faster.
    if (!existsSync(folder)) renameSync(ready, folder);
    return folder;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Texts of an .inp file, and the ids that .out has for each. */
export function vectors(file: string): { text: string; ids: number[] }[] {
  const texts = readFileSync(`${file}.inp`, 'utf8').split('\n__ggml_vocab_test__\n').slice(0, -1);
  const lines = readFileSync(`${file}.out`, 'utf8').split('\n');
  return texts.map((text, i) => ({ text, ids: (lines[i]!.match(/\d+/g) ?? []).map(Number) }));
}
