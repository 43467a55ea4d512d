import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { UnsupportedError } from '../../sdk/error.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { openTokenizer } from '../../sdk/tokenizer/open-tokenizer.js';
import type { Tokenizer } from '../../sdk/tokenizer/tokenizer.js';
import { wellFormed } from '../../sdk/tokenizer/utf8.js';
import { Random } from '../models/random.js';
import { LlamaPeer } from '../peer/llama.js';
import { CORPUS, SPECIAL_CORPUS, randomTexts } from './corpus.js';
import { llamaVocabularies, vectors } from './llama-vocabularies.js';

const folder = llamaVocabularies();
const file = (name: string) => join(folder, `ggml-vocab-${name}.gguf`);

/** llama.cpp's vocabulary files: the names, and whether vectors of texts and ids come with them. */
const VOCABULARIES: readonly (readonly [name: string, vectors: boolean])[] = [
  ['aquila', false],
  ['baichuan', false],
  ['command-r', true],
  ['deepseek-coder', true],
  ['deepseek-llm', true],
  ['falcon', true],
  ['gemma-4', true],
  ['gpt-2', true],
  ['gpt-neox', false],
  ['llama-bpe', true],
  ['llama-spm', true],
  ['mpt', true],
  ['phi-3', true],
  ['qwen2', true],
  ['qwen35', true],
  ['refact', true],
  ['starcoder', true],
];

/** Has no token for some control characters: they are lost in encoding, in llama.cpp too. */
const LOSSY = 'falcon';
/** Characters that are tokens although the byte-level alphabet lacks them: llama.cpp writes "[UNK_BYTE_…" for them. */
const UNKNOWN_BYTE = '[UNK_BYTE_';

describe.each(VOCABULARIES)("beside llama.cpp, with its vocabulary '%s'", (name, hasVectors) => {
  let peer: LlamaPeer;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    peer = LlamaPeer.open(file(name), { vocabularyOnly: true });
    tokenizer = openTokenizer((await openModelFile(file(name))).metadata, name);
  });
  afterAll(() => peer.close());

  test('its own vectors', () => {
    expect(existsSync(`${file(name)}.inp`)).toBe(hasVectors);
    const list = hasVectors ? vectors(file(name)) : [];
    expect(list.length > 40).toBe(hasVectors);
    for (const { text, ids } of list) expect(tokenizer.encode(text, { special: false })).toEqual(ids);
  });

  test('the corpus and random strings give the same ids, and the text back', () => {
    const wrong: string[] = [];
    for (const text of [...CORPUS, ...SPECIAL_CORPUS, ...randomTexts(80, name.length)]) {
      const plain = tokenizer.encode(text, { special: false });
      const equal =
        String(tokenizer.encode(text)) === String(peer.tokenize(text)) &&
        String(plain) === String(peer.tokenize(text, { special: false })) &&
        (name === LOSSY ||
          [wellFormed(text), wellFormed(text).replaceAll('▁', ' ')].includes(tokenizer.decode(plain)));
      if (!equal) wrong.push(text);
    }
    expect(wrong).toEqual([]);
  });

  test('tokens stand for the same bytes, and the same ones end an answer', () => {
    const different: number[] = [];
    for (let id = 0; id < tokenizer.size; id++) {
      const theirs = Buffer.from(peer.bytes(id));
      if (theirs.includes(UNKNOWN_BYTE)) expect(theirs.includes(Buffer.from(tokenizer.bytes(id)))).toBe(true);
      else if (theirs.compare(tokenizer.bytes(id)) !== 0) different.push(id);
    }
    expect(tokenizer.size).toBe(peer.vocabularySize);
    expect(different).toEqual([]);
    expect([...tokenizer.endIds].sort()).toEqual([...peer.endIds].sort());
    const begin = peer.tokenize('a', { addBegin: true }).slice(0, -peer.tokenize('a').length);
    expect(begin).toEqual(tokenizer.beginId === null ? [] : [tokenizer.beginId]);
  });

  test('streams never show half a character, and end as the whole does', () => {
    const random = new Random(name);
    for (let i = 0; i < 60; i++) {
      const ids = Array.from({ length: random.below(30) }, () => random.below(tokenizer.size));
      const stream = tokenizer.stream();
      const pieces = ids.map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(tokenizer.decode(ids));
    }
    const texts = name === LOSSY ? [] : CORPUS.filter((text) => !text.includes('\ufffd'));
    for (const text of texts) {
      const stream = tokenizer.stream();
      for (const id of tokenizer.encode(text, { special: false }))
        expect(stream.push(id)).not.toMatch(/\ufffd|\p{Surrogate}/u);
      expect(stream.end()).toBe('');
    }
  });
});

describe('vocabularies of other kinds', () => {
  test.each([
    ['bert-bge', 'bert'],
    ['nomic-bert-moe', 't5'],
  ])('%s is refused by the name of its kind', async (name, kind) => {
    const { metadata } = await openModelFile(file(name));
    expect(() => openTokenizer(metadata, name)).toThrow(UnsupportedError);
    expect(() => openTokenizer(metadata, name)).toThrow(`"${kind}"`);
  });
});
