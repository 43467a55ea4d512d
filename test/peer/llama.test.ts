import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { LlamaPeer } from './llama.js';

const MODEL = new URL('../../models/home-assistant-q4.gguf', import.meta.url).pathname;
const REQUEST = 'stop charging the car at 80% then cut the power in the kitchen';
const ANSWER = '[{"do":"ev.limit","percent":80},{"do":"plug.off","room":"kitchen"}]';
const PROMPT = `<|im_start|>user\n${REQUEST}<|im_end|>\n<|im_start|>assistant\n`;

describe('LlamaPeer', () => {
  let peer: LlamaPeer;
  beforeAll(() => {
    peer = LlamaPeer.open(MODEL, { contextLength: 256 });
  });
  afterAll(() => peer.close());

  test('knows the vocabulary', () => {
    expect(peer.vocabularySize).toBe(4096);
    expect(peer.endIds.has(4095)).toBe(true);
    expect(peer.endIds.has(42)).toBe(false);
  });

  test('reads special tokens only when asked to', () => {
    expect(peer.tokenize('<|im_start|>')).toEqual([4094]);
    expect(peer.tokenize('<|im_start|>', { special: false }).length).toBeGreaterThan(1);
    expect(peer.tokenize('')).toEqual([]);
  });

  test('gives text back', () => {
    const text = 'Grüße, 世界! 🏡 \n\n x';
    expect(peer.detokenize(peer.tokenize(text))).toBe(text);
    expect(peer.detokenize([4095], { special: true })).toBe('<|im_end|>');
    expect(peer.detokenize([4095])).toBe('');
  });

  test.each([false, true])('answers the known request (sequential: %s)', (sequential) => {
    const answer = peer.greedy(peer.tokenize(PROMPT), 100, peer.endIds, { sequential });
    expect(peer.detokenize(answer.tokens)).toBe(ANSWER);
    expect(answer.stopId).toBe(4095);
    expect(answer.margins).toHaveLength(answer.tokens.length + 1);
  });

  test('stops at the count', () => {
    const answer = peer.greedy(peer.tokenize(PROMPT), 3);
    expect(answer.tokens).toHaveLength(3);
    expect(answer.stopId).toBeNull();
  });

  test('gives one row a token, equal in batches of any size up to rounding', () => {
    const tokens = peer.tokenize(PROMPT);
    const whole = peer.logits(tokens);
    const single = peer.logits(tokens, { sequential: true });
    const small = LlamaPeer.open(MODEL, { contextLength: 256, batch: 5 });
    const fives = small.logits(tokens);
    small.close();
    expect(whole).toHaveLength(tokens.length);
    expect(single).toHaveLength(tokens.length);
    for (let i = 0; i < tokens.length; i++) {
      expect(relativeRms(single[i]!, whole[i]!)).toBeLessThan(2e-2);
      expect(relativeRms(fives[i]!, whole[i]!)).toBeLessThan(2e-2);
    }
    expect(relativeRms(whole[1]!, whole[0]!)).toBeGreaterThan(0.1);
  });

  test('gives the same rows again after another prompt', () => {
    const first = peer.logits([1, 2, 3]);
    peer.logits([9, 8, 7]);
    expect(peer.logits([1, 2, 3])).toEqual(first);
  });

  test.each(['f16', 'q8_0'] as const)('answers with a %s cache', (kvType) => {
    const other = LlamaPeer.open(MODEL, { contextLength: 256, kvType, threads: 2 });
    const answer = other.greedy(other.tokenize(PROMPT), 100);
    other.close();
    expect(peer.detokenize(answer.tokens)).toBe(ANSWER);
  });

  test('opens a vocabulary without weights', () => {
    const words = LlamaPeer.open(MODEL, { vocabularyOnly: true });
    expect(words.tokenize(PROMPT)).toEqual(peer.tokenize(PROMPT));
    expect(() => words.logits([1])).toThrow(/vocabulary only/);
    words.close();
  });

  test('refuses files that are no model', () => {
    expect(() => LlamaPeer.open(new URL(import.meta.url).pathname)).toThrow(/does not load/);
  });

  test('cannot be used after close', () => {
    const other = LlamaPeer.open(MODEL, { contextLength: 256 });
    other.close();
    other.close();
    expect(() => other.tokenize('a')).toThrow(/closed/);
  });
});

function relativeRms(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
