import { UnsupportedError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import { BpeTokenizer } from './bpe-tokenizer.js';
import { PRE_TOKENIZERS, preTokenizer } from './pre-tokenizers.js';
import { SpmTokenizer } from './spm-tokenizer.js';
import type { Tokenizer } from './tokenizer.js';

/** Values of tokenizer.ggml.model that are known. */
const MODELS: readonly string[] = ['gpt2', 'gemma4', 'llama'];

/**
 * The tokenizer that a model's metadata describes; `where` names the model in messages. Throws UnsupportedError for
 * kinds that are not known (unsupported/tokenizer), ModelFormatError for metadata that does not fit together.
 */
export function openTokenizer(metadata: Metadata, where: string): Tokenizer {
  const model = metadata.string('tokenizer.ggml.model');
  if (model === 'llama') return new SpmTokenizer(metadata, where);
  if (!MODELS.includes(model))
    throw new UnsupportedError(
      'unsupported/tokenizer',
      `${where} has a tokenizer of kind "${model}", which is not known`,
      `Known kinds: ${MODELS.join(', ')}. Token ids can be given in place of text.`,
    );
  const pre = model === 'gemma4' ? 'gemma4' : metadata.stringOr('tokenizer.ggml.pre', 'default');
  const rules = preTokenizer(pre);
  if (!rules)
    throw new UnsupportedError(
      'unsupported/tokenizer',
      `${where} cuts text with the pre-tokenizer "${pre}", which is not known`,
      `Known pre-tokenizers: ${PRE_TOKENIZERS.join(', ')}. Token ids can be given in place of text.`,
    );
  return new BpeTokenizer(metadata, rules, where);
}
