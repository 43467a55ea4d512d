import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ModelFormatError, OptionError, UnsupportedError } from '../../sdk/error.js';
import type { MetadataValue } from '../../sdk/model/model-file.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import { openTokenizer } from '../../sdk/tokenizer/open-tokenizer.js';
import type { Tokenizer } from '../../sdk/tokenizer/tokenizer.js';
import { generateModel } from '../models/generate-model.js';
import { Random } from '../models/random.js';
import { DEMO_MODEL, demoPrompt, evaluationSet } from '../peer/answers.js';
import { LlamaPeer } from '../peer/llama.js';
import { CORPUS, randomTexts } from './corpus.js';
import { ListMetadata } from './list-metadata.js';

/** Half a surrogate pair. */
const LONE = /\p{Surrogate}/u;
const folder = mkdtempSync(join(tmpdir(), 'pocketmoe-tokenizer-'));
const synthetic = join(folder, 'synthetic.gguf');
generateModel(synthetic, { family: 'llama', width: 32, heads: 2, layers: 1, vocabulary: 40_000 });
afterAll(() => rmSync(folder, { recursive: true }));

describe.each([
  ['the demo model', DEMO_MODEL],
  ['a synthetic vocabulary of 40,000 tokens', synthetic],
])('beside llama.cpp, with %s', (_, path) => {
  let peer: LlamaPeer;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    peer = LlamaPeer.open(path, { vocabularyOnly: true });
    tokenizer = openTokenizer((await openModelFile(path)).metadata, path);
  });
  afterAll(() => peer.close());

  /** Texts whose ids differ, whose ids do not give the text back, or whose stream differs. */
  function wrong(texts: Iterable<string>): string[] {
    const found: string[] = [];
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      const plain = tokenizer.encode(text, { special: false });
      const equal =
        String(ids) === String(peer.tokenize(text)) &&
        String(plain) === String(peer.tokenize(text, { special: false })) &&
        tokenizer.decode(plain) === text;
      if (!equal) found.push(text);
    }
    return found;
  }

  test('the corpus gives the same ids, and the text back', () => {
    expect(wrong(CORPUS)).toEqual([]);
  });

  test('every request of the evaluation sets does', () => {
    const lines = [...evaluationSet('commands'), ...evaluationSet('diagnostics')];
    expect(lines).toHaveLength(600);
    expect(wrong(lines.flatMap((line) => [demoPrompt(line.request), line.answer]))).toEqual([]);
  });

  test('a page of prose does', () => {
    const text = readFileSync(new URL('../../models/evaluation/eval-text.txt', import.meta.url), 'utf8');
    expect(wrong([text])).toEqual([]);
  });

  test('3,000 random strings do', () => {
    expect(wrong(randomTexts(3000, 1))).toEqual([]);
  });

  test('every character of the first planes that old tables know does, alone and in a word', () => {
    const texts: string[] = [];
    for (let code = 0; code < 0x590; code++)
      texts.push(String.fromCodePoint(code), ` a${String.fromCodePoint(code)}b`);
    for (let code = 0x2000; code < 0x2400; code++) texts.push(`  ${String.fromCodePoint(code)} x`);
    // Not assigned in every version of Unicode, so tables may differ.
    const unassigned = /\p{Cn}/u;
    expect(wrong(texts.filter((text) => !unassigned.test(text)))).toEqual([]);
  });

  test('tokens stand for the same bytes', () => {
    const different: number[] = [];
    for (let id = 0; id < tokenizer.size; id++)
      if (Buffer.compare(tokenizer.bytes(id), peer.bytes(id)) !== 0) different.push(id);
    expect(tokenizer.size).toBe(peer.vocabularySize);
    expect(different).toEqual([]);
  });

  test('the same ids end an answer', () => {
    expect([...tokenizer.endIds].sort()).toEqual([...peer.endIds].sort());
    expect(tokenizer.beginId).toBeNull();
  });

  test('streams give the whole text, and never half a character', () => {
    const random = new Random('streams');
    for (const text of [...CORPUS, ...randomTexts(300, 2)]) {
      const stream = tokenizer.stream();
      const pieces = tokenizer.encode(text, { special: false }).map((id) => stream.push(id));
      expect(
        pieces.every((piece) => !LONE.test(piece) && (text.includes('\ufffd') || !piece.includes('\ufffd'))),
      ).toBe(true);
      expect(pieces.join('') + stream.end()).toBe(text);
    }
    for (let i = 0; i < 300; i++) {
      const ids = Array.from({ length: random.below(30) }, () => random.below(tokenizer.size));
      const stream = tokenizer.stream();
      const streamed = ids.map((id) => stream.push(id)).join('') + stream.end();
      expect(streamed).toBe(Buffer.concat(ids.map((id) => tokenizer.bytes(id))).toString('utf8'));
      expect(streamed).toBe(tokenizer.decode(ids));
    }
  });

  test('a character waits for its last byte', () => {
    const bytes = [...Buffer.from('é🏡')].map((byte) =>
      [...Array(256).keys()].find(
        (id) => tokenizer.bytes(id)[0] === byte && tokenizer.bytes(id).length === 1,
      )!,
    );
    const stream = tokenizer.stream();
    expect(bytes.map((id) => stream.push(id))).toEqual(['', 'é', '', '', '', '🏡']);
    expect(stream.end()).toBe('');
    for (const id of bytes.slice(2, 5)) stream.push(id);
    expect(stream.end()).toBe('\ufffd');
  });

  test('half a surrogate pair becomes U+FFFD', () => {
    for (const text of ['\ud83c', 'a\udfe1b', 'x\ud83c'])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replace(LONE, '\ufffd'));
    expect(tokenizer.encode('a\udfe1b')).toEqual(tokenizer.encode('a\ufffdb'));
  });

  test.each([-1, 1.5, 1e9, NaN])('%d is no token', (id) => {
    expect(() => tokenizer.bytes(id)).toThrow(OptionError);
    expect(() => tokenizer.decode([id])).toThrow(/is no token id/);
  });
});

describe('long words', () => {
  test('take steps in proportion, not its square', async () => {
    const tokenizer = openTokenizer((await openModelFile(DEMO_MODEL)).metadata, DEMO_MODEL);
    // With n² steps a word of 400,000 letters would outlast any test.
    const text = 'lights'.repeat(70_000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });
});

describe('vocabularies', () => {
  const base: Record<string, MetadataValue> = {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'qwen2',
    'tokenizer.ggml.tokens': ['a', 'b', 'ab', 'c', '<ctl>', '[user]', '[user]x', '[pad]', 'é', '€'],
    'tokenizer.ggml.token_type': [1, 1, 1, 1, 3, 4, 4, 5, 4, 1],
    'tokenizer.ggml.merges': ['a b'],
    'tokenizer.ggml.eos_token_id': 3,
  };
  const open = (change: Record<string, MetadataValue> = {}) =>
    openTokenizer(new ListMetadata({ ...base, ...change }), 'model.gguf');
  const without = (key: string) =>
    new ListMetadata(Object.fromEntries(Object.entries(base).filter(([name]) => name !== key)));

  test('control tokens are read on request, added tokens always, the longest first', () => {
    expect(open().encode('a<ctl>[user]x[user]ab')).toEqual([0, 4, 6, 5, 2]);
    expect(open().encode('<ctl>c', { special: false })).toEqual([3, 3]);
    expect(open().encode('[user]', { special: false })).toEqual([5]);
  });

  test('added tokens are text, control tokens and padding are nothing', () => {
    expect(open().decode([0, 5, 4, 7, 8])).toBe('a[user]é');
    expect(open().encode('aéa')).toEqual([0, 8, 0]);
  });

  test('a normal token that is no byte text stands for its characters', () => {
    expect(open().decode([9])).toBe('€');
  });

  test('the begin id is given only when the model wants it', () => {
    const ids = { 'tokenizer.ggml.bos_token_id': 1 };
    expect(open(ids).beginId).toBeNull();
    expect(open({ ...ids, 'tokenizer.ggml.add_bos_token': false }).beginId).toBeNull();
    expect(open({ ...ids, 'tokenizer.ggml.add_bos_token': true }).beginId).toBe(1);
  });

  test('end ids come from three keys and from names', () => {
    expect([...open({ 'tokenizer.ggml.eot_token_id': 1, 'tokenizer.ggml.eom_token_id': 2 }).endIds]).toEqual([
      3, 1, 2,
    ]);
    const tokens = ['a', '<|im_end|>', '<|endoftext|>'];
    const types = {
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.merges': [],
      'tokenizer.ggml.eos_token_id': 0,
    };
    expect([...open({ ...types, 'tokenizer.ggml.token_type': [1, 3, 1] }).endIds]).toEqual([0, 1, 2]);
    const plain = new ListMetadata({ 'tokenizer.ggml.model': 'gpt2', ...types });
    // Files that call such a token normal are wrong.
    expect(openTokenizer(plain, 'model.gguf').decode([0, 1, 2])).toBe('a');
  });

  test('without types all tokens are normal', () => {
    const tokenizer = openTokenizer(without('tokenizer.ggml.token_type'), 'model.gguf');
    expect(tokenizer.encode('<ctl>ab')).toEqual([3, 2]);
    expect(tokenizer.decode([4])).toBe('<ctl>');
  });

  test('the last of equal tokens is used, the first of equal merges', () => {
    expect(
      open({
        'tokenizer.ggml.tokens': ['a', 'b', 'ab', 'c', '<ctl>', '[user]', '[user]x', '[pad]', 'é', 'ab'],
      }).encode('ab'),
    ).toEqual([9]);
    const tokens = ['a', 'b', 'c', 'ab', 'bc'];
    const list = { 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': [1, 1, 1, 1, 1] };
    expect(open({ ...list, 'tokenizer.ggml.merges': ['b c', 'a b', 'b c'] }).encode('abc')).toEqual([0, 4]);
    expect(open({ ...list, 'tokenizer.ggml.merges': ['a b', 'b c'] }).encode('abc')).toEqual([3, 2]);
  });

  test('a merge that makes no token is made, then written byte by byte', () => {
    const list = {
      'tokenizer.ggml.tokens': ['a', 'b', 'c', 'bc'],
      'tokenizer.ggml.token_type': [1, 1, 1, 1],
      'tokenizer.ggml.merges': ['a b', 'b c'],
    };
    expect(open(list).encode('abc')).toEqual([0, 1, 2]);
  });

  test.each<[string, Record<string, MetadataValue>, RegExp]>([
    ['types of another length', { 'tokenizer.ggml.token_type': [1, 1] }, /10 tokens but 2 token types/],
    ['a merge of one symbol', { 'tokenizer.ggml.merges': ['ab'] }, /merge 0 is not two symbols/],
    [
      'a merge with nothing behind the space',
      { 'tokenizer.ggml.merges': ['a b', 'a '] },
      /merge 1 is not two/,
    ],
    [
      'an end id out of range',
      { 'tokenizer.ggml.eos_token_id': 10 },
      /eos_token_id is 10, but ids go from 0 to 9/,
    ],
    ['a negative end id', { 'tokenizer.ggml.eot_token_id': -1 }, /eot_token_id is -1/],
    [
      'a begin id out of range',
      { 'tokenizer.ggml.add_bos_token': true, 'tokenizer.ggml.bos_token_id': 99 },
      /bos_token_id is 99/,
    ],
  ])('%s is refused', (_, change, message) => {
    expect(() => open(change)).toThrow(ModelFormatError);
    expect(() => open(change)).toThrow(message);
  });

  test('unknown kinds are refused with the list of known ones', () => {
    for (const [change, name, known] of [
      [{ 'tokenizer.ggml.model': 'bert' }, '"bert"', 'gpt2'],
      [{ 'tokenizer.ggml.pre': 'quux' }, '"quux"', 'qwen2'],
    ] as const) {
      expect(() => open(change)).toThrow(UnsupportedError);
      expect(() => open(change)).toThrow(name);
      try {
        open(change);
      } catch (error) {
        expect((error as UnsupportedError).hint).toContain(known);
        expect((error as UnsupportedError).code).toBe('unsupported/tokenizer');
      }
    }
    expect(openTokenizer(without('tokenizer.ggml.pre'), 'model.gguf').encode('ab')).toEqual([2]);
  });
});
