import { ModelFormatError } from '../error.js';
import type { Metadata } from '../model/model-file.js';

/** Values of tokenizer.ggml.token_type; others count as Undefined. */
export const TokenKind = {
  Undefined: 0,
  Normal: 1,
  Unknown: 2,
  Control: 3,
  UserDefined: 4,
  Unused: 5,
  Byte: 6,
} as const;

/** The hint of errors about a vocabulary. */
export const CONVERT_AGAIN = 'The file is damaged or was converted wrongly; convert or download it again.';

/** The kind of each of `size` tokens as the file has it; all normal when it says nothing. */
export function readTokenKinds(metadata: Metadata, size: number, where: string): Uint8Array {
  if (!metadata.has('tokenizer.ggml.token_type')) return new Uint8Array(size).fill(TokenKind.Normal);
  const types = metadata.numbers('tokenizer.ggml.token_type');
  if (types.length !== size)
    throw new ModelFormatError(
      'model/tokenizer',
      `${where} has ${size} tokens but ${types.length} token types`,
      CONVERT_AGAIN,
    );
  return Uint8Array.from(types, (type) => (type <= TokenKind.Byte ? type : TokenKind.Undefined));
}
