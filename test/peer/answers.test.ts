import { describe, expect, test } from '@jest/globals';
import { peerAnswers, type PeerAnswer } from './answers.js';

const exact = (answers: PeerAnswer[]) => answers.filter((a) => a.text === a.expected).length;

describe("llama.cpp's answers to the evaluation sets", () => {
  const answers = peerAnswers();

  test('are as many as there are requests, each with its margins', () => {
    expect(answers.commands).toHaveLength(400);
    expect(answers.diagnostics).toHaveLength(200);
    for (const answer of [...answers.commands, ...answers.diagnostics])
      expect(answer.margins).toHaveLength(answer.tokens.length + 1);
  });

  test("are right as often as the model's card says, give or take one", () => {
    expect(Math.abs(exact(answers.commands) - 392)).toBeLessThanOrEqual(1);
    expect(Math.abs(exact(answers.diagnostics) - 163)).toBeLessThanOrEqual(1);
  });

  test('come back from the cache as they were computed', () => {
    expect(peerAnswers()).toEqual(answers);
  });
});
