import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { openTokenizer } from '../../sdk/tokenizer/open-tokenizer.js';
import { PRE_TOKENIZERS, preTokenizer } from '../../sdk/tokenizer/pre-tokenizers.js';
import { wellFormed } from '../../sdk/tokenizer/utf8.js';
import { LlamaPeer } from '../peer/llama.js';
import { CORPUS, randomTexts, SPECIAL_CORPUS } from './corpus.js';
import { writeDenseVocabulary } from './dense-vocabulary.js';

const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-pre-tokenizers-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Long runs take llama.cpp's regular expressions seconds, and tell no more than short ones. */
const TEXTS = [...CORPUS, ...SPECIAL_CORPUS, ...randomTexts(30, 5)].filter((text) => text.length < 150);

describe('every pre-tokenizer gives the same ids as llama.cpp', () => {
  test.each(PRE_TOKENIZERS)('%s', async (pre) => {
    const path = join(folder, `${pre}.gguf`);
    const { plainText } = preTokenizer(pre)!;
    writeDenseVocabulary(path, { pre, plainText });
    const peer = LlamaPeer.open(path, { vocabularyOnly: true });
    const tokenizer = openTokenizer((await openModelFile(path)).metadata, path);
    const different = TEXTS.filter(
      (text) =>
        String(tokenizer.encode(text)) !== String(peer.tokenize(text)) ||
        tokenizer.decode(tokenizer.encode(text, { special: false })) !==
          (plainText ? wellFormed(text).replaceAll('▁', ' ') : wellFormed(text)),
    );
    const begins = peer.tokenize('a', { addBegin: true }).length > peer.tokenize('a').length;
    peer.close();
    expect(different).toEqual([]);
    expect(tokenizer.beginId !== null).toBe(begins);
  });

  test('cuts leave nothing out', () => {
    for (const name of PRE_TOKENIZERS) {
      const { cut } = preTokenizer(name)!;
      for (const text of SPECIAL_CORPUS) {
        const words: string[] = [];
        cut(wellFormed(text), (word) => words.push(word));
        expect(words.join('')).toBe(wellFormed(text));
        expect(words).not.toContain('');
      }
    }
  });

  test('long runs of one kind take steps in proportion, not its square', () => {
    // With n² steps these would outlast any test.
    const runs = ['1', 'a', 'A', ' ', '\n', '漢', '!', 'é', '٣', '\u0301', 'aA', ' a', 'a1'].map((run) =>
      run.repeat(8_000),
    );
    for (const name of PRE_TOKENIZERS) {
      const { cut } = preTokenizer(name)!;
      for (const text of runs) {
        let length = 0;
        cut(text, (word) => (length += word.length));
        expect(length).toBe(text.length);
      }
    }
  });
});
