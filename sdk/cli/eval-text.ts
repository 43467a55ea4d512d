import { OptionError, type Model } from '../index.js';
import type { Terminal } from './terminal.js';

/**
 * Perplexity: the text is cut into windows, each evaluated with nothing before it. The first token of a window has
 * nothing to be predicted from and is not scored. What is left behind the last whole window is not used.
 */
export async function measurePerplexity(
  terminal: Terminal,
  model: Model,
  text: string,
  options: { windows: number | undefined; windowTokens: number },
): Promise<{ perplexity: number; tokens: number; windows: number; windowTokens: number }> {
  const ids = text === '' ? [] : await model.tokenize(text);
  if (ids.length < 2)
    throw new OptionError(
      'option/text',
      'the text is too short to be scored',
      'Give a text of two tokens or more.',
    );
  const windowTokens = Math.min(options.windowTokens, model.description.contextLength, ids.length);
  const windows = Math.min(options.windows ?? Infinity, Math.floor(ids.length / windowTokens));
  let sum = 0;
  let tokens = 0;
  for (let i = 0; i < windows; i++) {
    terminal.bar(i, windows, `window ${i + 1} of ${windows}`);
    const score = await model.score(ids.slice(i * windowTokens, (i + 1) * windowTokens), {
      signal: terminal.signal,
    });
    sum += score.negativeLogLikelihood;
    tokens += score.tokens;
  }
  return { perplexity: Math.exp(sum / tokens), tokens, windows, windowTokens };
}
