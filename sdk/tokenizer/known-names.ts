/**
 * Tokens that are known by their names, because many files leave their ids or kinds out. The lists are those of
 * llama.cpp, so that the same tokens end an answer.
 */

/** Tokens that end a turn or a text. */
export const END_NAMES: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|flush|>',
  '<|calls|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '</s>',
  '<|eom_id|>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<|end_of_text|>',
  '<end_of_utterance>',
  '<eos>',
  '<turn|>',
  '<|tool_response>',
  '<｜end▁of▁sentence｜>',
  '[e~[',
]);

/** Tokens for filling in the middle of a text: by the name in their key, and whether they end an answer. */
export const FILL_NAMES: readonly {
  readonly keys: readonly string[];
  readonly names: readonly string[];
  readonly ends: boolean;
}[] = [
  {
    keys: ['fim_pre', 'prefix'],
    names: [
      '<|fim_prefix|>',
      '<fim-prefix>',
      '<fim_prefix>',
      '<｜fim▁begin｜>',
      '<PRE>',
      '▁<PRE>',
      '<|code_prefix|>',
      '<|prefix|>',
    ],
    ends: false,
  },
  {
    keys: ['fim_suf', 'suffix'],
    names: [
      '<|fim_suffix|>',
      '<fim-suffix>',
      '<fim_suffix>',
      '<｜fim▁hole｜>',
      '<SUF>',
      '▁<SUF>',
      '<|code_suffix|>',
      '<|suffix|>',
    ],
    ends: false,
  },
  {
    keys: ['fim_mid', 'middle'],
    names: [
      '<|fim_middle|>',
      '<fim-middle>',
      '<fim_middle>',
      '<｜fim▁end｜>',
      '<MID>',
      '▁<MID>',
      '<|code_middle|>',
      '<|middle|>',
    ],
    ends: false,
  },
  { keys: ['fim_pad'], names: ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]'], ends: true },
  {
    keys: ['fim_rep'],
    names: ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>'],
    ends: true,
  },
  { keys: ['fim_sep'], names: ['<|file_sep|>'], ends: true },
];

/** Tokens that are part of the answer's text although files call them control tokens: the parts of gpt-oss answers. */
export const SHOWN_NAMES: ReadonlySet<string> = new Set([
  '<|channel|>',
  '<|message|>',
  '<|start|>',
  '<|constrain|>',
]);

/** Other names that are asked about. */
const OTHERS = ['<unk>', '<s>', '<mask>', '[MASK]'];

/** All names above. */
export const KNOWN_NAMES: ReadonlySet<string> = new Set([
  ...END_NAMES,
  ...FILL_NAMES.flatMap(({ names }) => names),
  ...SHOWN_NAMES,
  ...OTHERS,
]);
