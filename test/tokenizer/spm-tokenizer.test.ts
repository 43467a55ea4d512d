import { describe, expect, test } from '@jest/globals';
import { ModelFormatError, OptionError } from '../../sdk/error.js';
import type { MetadataValue } from '../../sdk/model/model-file.js';
import { openTokenizer } from '../../sdk/tokenizer/open-tokenizer.js';
import { ListMetadata } from './list-metadata.js';

const TOKENS = ['<unk>', '<s>', '</s>', '<0xC3>', '<0xA9>', '▁', 'a', 'b', '▁a', 'ab', '▁ab', '[user]', ' '];
const base: Record<string, MetadataValue> = {
  'tokenizer.ggml.model': 'llama',
  'tokenizer.ggml.tokens': TOKENS,
  'tokenizer.ggml.token_type': [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 4, 1],
  'tokenizer.ggml.scores': [0, 0, 0, 0, 0, -9, -9, -9, -1, -2, -3, 0, -9],
};
const open = (change: Record<string, MetadataValue> = {}) =>
  openTokenizer(new ListMetadata({ ...base, ...change }), 'model.gguf');
const ids = (...texts: string[]) => texts.map((text) => TOKENS.indexOf(text));

describe('SentencePiece vocabularies', () => {
  test('the best score is merged first, the leftmost among equals', () => {
    expect(open().encode('ab')).toEqual(ids('▁ab'));
    const scores = [0, 0, 0, 0, 0, -9, -9, -9, -2, -1, -3, 0, -9];
    expect(
      open({ 'tokenizer.ggml.scores': scores, 'tokenizer.ggml.add_space_prefix': false }).encode('aab'),
    ).toEqual(ids('a', 'ab'));
  });

  test('text begins with a space at the start and after special tokens', () => {
    expect(open().encode('a[user]a')).toEqual(ids('▁a', '[user]', '▁a'));
    expect(open({ 'tokenizer.ggml.add_space_prefix': false }).encode('a[user]a')).toEqual(
      ids('a', '[user]', 'a'),
    );
    expect(open().encode('')).toEqual([]);
  });

  test('unknown characters are bytes, or the unknown token where the byte has none', () => {
    expect(open().encode('é')).toEqual(ids('▁', '<0xC3>', '<0xA9>'));
    expect(open().encode('ø')).toEqual(ids('▁', '<0xC3>', '<unk>'));
  });

  test('streams leave the added space out, and only that', () => {
    const shown = (previous?: number) => {
      const stream = open().stream(previous);
      return ids('▁a', '▁a', '<0xC3>', '<0xA9>').map((id) => stream.push(id));
    };
    expect(shown()).toEqual(['a', ' a', '', 'é']);
    expect(shown(TOKENS.indexOf('[user]'))).toEqual(['a', ' a', '', 'é']);
    expect(shown(TOKENS.indexOf('b'))).toEqual([' a', ' a', '', 'é']);
    expect(open().decode(ids('▁a', '</s>', '▁a'))).toBe('a a');
  });

  test('begin and end ids have defaults', () => {
    expect(open().beginId).toBe(1);
    expect([...open().endIds]).toEqual([2]);
    expect(open({ 'tokenizer.ggml.add_bos_token': false }).beginId).toBeNull();
  });

  test('Phi-3 takes the white space after its special tokens', () => {
    expect(open({ 'general.name': 'Phi-3 mini' }).encode('</s> \n a')).toEqual(ids('</s>', '▁a'));
    expect(open({ 'general.name': 'Phi-3 mini' }).encode('<s> a')).toEqual(ids('<s>', '▁', '▁a'));
  });

  test.each<[string, Record<string, MetadataValue>, RegExp]>([
    ['scores of another length', { 'tokenizer.ggml.scores': [1] }, /13 tokens but 1 scores/],
    [
      'a score that is no number',
      { 'tokenizer.ggml.scores': TOKENS.map(() => NaN) },
      /score of token 0 is NaN/,
    ],
  ])('%s are refused', (_, change, message) => {
    expect(() => open(change)).toThrow(ModelFormatError);
    expect(() => open(change)).toThrow(message);
  });

  test('ids out of range are refused', () => {
    expect(() => open().bytes(13)).toThrow(OptionError);
  });
});
