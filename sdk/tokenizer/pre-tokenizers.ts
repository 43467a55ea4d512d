import { cutAt, cutInTurn, cutThousands, type Cut } from './word-cutter.js';

/** How byte-pair encoding of one vocabulary differs from that of others. */
export interface PreTokenizer {
  /** Cuts text into words; merges never cross from one to another. */
  readonly cut: Cut;
  /** A word that is a token becomes it without merging. */
  readonly wholeWords: boolean;
  /** Texts begin with the begin-of-sequence token: if the file says so, unless it says otherwise, or always. */
  readonly begin: 'asked' | 'unless-refused' | 'always';
  /** Tokens are text with ▁ for spaces, and <0xNN> for bytes; else they are bytes in the byte-level alphabet. */
  readonly plainText: boolean;
  /** Runs of line ends that are a token become it without merging. */
  readonly wholeLineEnds: boolean;
}

type Step = string | (() => Cut);
interface Rule {
  readonly names: string;
  readonly steps: readonly Step[];
  readonly wholeWords?: true;
  readonly begin?: 'unless-refused' | 'always';
  readonly plainText?: true;
  readonly wholeLineEnds?: true;
}

const any = (...alternatives: string[]) => alternatives.join('|');

/** English contractions, written small or in any case. */
const SMALL = "'(?:[stmd]|re|ve|ll)";
const CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
/** White space: all of it up to the last line end; all but one before a word; what is left. */
const LINE_ENDS = '\\s*[\\r\\n]+';
const SPACES = '\\s+(?!\\S)|\\s+';
/** Letters with one sign before them; signs with a space before and line ends after them. */
const WORD = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const SIGNS = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';
const THREE = '\\p{N}{1,3}';

const GPT2 = any(SMALL, ' ?\\p{L}+', ' ?\\p{N}+', ' ?[^\\s\\p{L}\\p{N}]+', SPACES);
/** The pattern of Llama 3 and Qwen 2, which differ in how many digits are a word. */
const modern = (digits: string) => any(CONTRACTION, WORD, digits, SIGNS, LINE_ENDS, SPACES);
const LLAMA3 = modern(THREE);
const QWEN2 = modern('\\p{N}');

/** Words that end where small letters are followed by capitals; `upper` and `lower` are classes that overlap. */
const camel = (upper: string, lower: string, end: string, digits: string, slash = '\\/') =>
  any(
    `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${end}`,
    `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${end}`,
    digits,
    ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n${slash}]*`,
    LINE_ENDS,
    SPACES,
  );
const MARKED = '[\\p{L}\\p{M}]';
const NOT_SMALL = '[\\p{L}--[a-z]]';
const NOT_CAPITAL = '[\\p{L}--[A-Z]]';

/** Chinese characters and Japanese syllables; the second set, of DeepSeek's first models, is a wide stretch. */
const CJK = '\\u4e00-\\u9fa5\\u3040-\\u30ff';
const WIDE_CJK = '[[\\u0800-\\u9fa5\\uac00-\\ud7ff]--\\p{White_Space}]+';
const HAN =
  '\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2ebef}\\u{2f800}-\\u{2fa1f}';
/** ASCII signs before letters, then words of letters and marks, then signs. */
const SIGN_WORDS = '[!-\\/:-@\\[-`\\{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+';
const DEEPSEEK3 = any(SIGN_WORDS, ' ?[\\p{P}\\p{S}]+[\\r\\n]*', LINE_ENDS, SPACES);
/** Everything but white space and the sentence signs of many scripts. */
const SENTENCE = ' ?[^\\(\\s\\|.,!?\\u2026\\u3002\\uff0c\\u3001\\u0964\\u06d4\\u060c\\)]+';
const LINES = '[^\\n]+|\\n+';

/** Letters that have case, as the DeepSeek LLM vocabulary lists them (first-last in hexadecimal). */
const CASED =
  '41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c 38e-3a1 ' +
  '3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a ' +
  '1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 ' +
  '1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 ' +
  '212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183-2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d ' +
  'a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 ' +
  '104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943';
const CASED_CLASS = `[${CASED.replace(/[0-9a-f]+/g, '\\u{$&}').replaceAll(' ', '')}]`;

/** What llama.cpp does for each value of tokenizer.ggml.pre, so that ids are equal; its quirks included. */
const RULES: readonly Rule[] = [
  { names: 'default', steps: ['[\\p{P}$+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'] },
  {
    names:
      'gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jina-v1-en ' +
      'jina-v2-code roberta-bpe exaone4 mpt olmo jais trillion granite-docling',
    steps: [GPT2],
  },
  {
    names: 'starcoder refact command-r smollm codeshell exaone minerva-7b mellum2',
    steps: ['\\p{N}', GPT2],
  },
  { names: 'falcon', steps: ['[\\p{P}$+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'] },
  {
    names: 'llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano',
    steps: [LLAMA3],
    wholeWords: true,
    begin: 'unless-refused',
  },
  { names: 'dbrx smaug-bpe glm4 chatglm-bpe', steps: [LLAMA3] },
  { names: 'minicpm5', steps: [THREE, modern('\\p{N}+')], wholeWords: true },
  {
    names: 'qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2',
    steps: [QWEN2],
  },
  {
    names: 'qwen35',
    steps: [
      any(
        CONTRACTION,
        `[^\\r\\n\\p{L}\\p{N}]?${MARKED}+`,
        '\\p{N}',
        ' ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*',
        LINE_ENDS,
        SPACES,
      ),
    ],
  },
  { names: 'ufakzeka', steps: [any(WORD, '\\p{N}', SIGNS, LINE_ENDS, SPACES)] },
  { names: 'laguna', steps: [LINES, QWEN2] },
  {
    names: 'seed-coder',
    steps: [any(CONTRACTION, WORD, '\\p{N}', ' ?[^\\s\\p{L}\\p{N}\\r\\n]+', LINE_ENDS, SPACES)],
  },
  {
    names: 'bailingmoe bailingmoe2 llada-moe',
    steps: [any(CONTRACTION, WORD, '\\p{N}', SIGNS, '\\s*[\\r\\n]', SPACES)],
  },
  {
    names: 'exaone-moe',
    steps: [
      any(
        CONTRACTION,
        '[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+',
        '\\p{N}',
        ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n\\/]?',
        '\\s*[\\r\\n]',
        SPACES,
      ),
    ],
  },
  {
    names: 'jais-2',
    steps: [
      any(
        CONTRACTION,
        WORD,
        THREE,
        SIGNS,
        LINE_ENDS,
        ...[512, 256, 128, 64, 32, 16, 8, 4].map((count) => `\\s{${count}}(?!\\S)`),
        '\\s{1,2}(?!\\S)',
        '\\s',
      ),
    ],
  },
  {
    names: 'deepseek-llm',
    steps: [
      '[\\r\\n]',
      `\\s?${CASED_CLASS}+`,
      '\\s?[!-\\/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3001\\u3002]+',
      '\\s+$',
      WIDE_CJK,
      '\\p{N}+',
    ],
  },
  { names: 'deepseek-coder', steps: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', WIDE_CJK, '\\p{N}'] },
  { names: 'deepseek-v3 hunyuan-dense hy_v4 joyai-llm', steps: [THREE, `[${CJK}]+`, DEEPSEEK3] },
  {
    names: 'spark2_5',
    steps: [THREE, `[${CJK}]+`, any(SIGN_WORDS, ' ?[\\p{P}\\p{S}]+', '[\\r\\n]', SPACES), '\\p{N}'],
  },
  {
    names: 'afmoe',
    steps: [
      () => cutThousands('\\p{N}', 'after'),
      '[\\u4e00-\\u9fff\\u3400-\\u4dbf\\u8c48-\\ufaff\\u3040-\\u30ff\\uff65-\\uff9f\\u2f00-\\u2fdf\\u0e40-\\u0e7f' +
        '\\u0e80-\\u0eff\\u1780-\\u17ff\\u1000-\\u109f\\uaa60-\\uaa7f\\ua9e0-\\ua9ff\\uac00-\\ud7af\\u1100-\\u11ff]+',
      DEEPSEEK3,
    ],
  },
  {
    names: 'tekken',
    steps: [camel(NOT_SMALL, NOT_CAPITAL, '', '\\p{N}')],
    wholeWords: true,
    begin: 'unless-refused',
  },
  {
    names: 'gpt-4o llama4 kanana2 talkie minimax-m2',
    steps: [camel(NOT_SMALL, NOT_CAPITAL, `(?:${CONTRACTION})?`, THREE)],
  },
  {
    names: 'granite-embed-multi-97m',
    steps: [camel(`[${MARKED}--[a-z]]`, `[${MARKED}--[A-Z]]`, `(?:${CONTRACTION})?`, THREE)],
    wholeWords: true,
  },
  {
    names: 'tiny_aya cohere2moe',
    steps: [() => cutThousands('\\p{N}', 'after'), camel(MARKED, MARKED, `(?:${CONTRACTION})?`, THREE)],
  },
  {
    names: 'youtu',
    steps: [
      '[\\uac00-\\ud7a3\\u3131-\\u318e]+|' +
        '[\\uff01\\u2026\\u201c\\u201d\\u2018\\u2019\\u2014\\uff1a\\uff1b\\uff0c\\u3001-\\u303f\\ufe30-\\ufe4f]+|' +
        `[\\u3105-\\u312f]+|[${CJK}]+`,
      camel(MARKED, MARKED, `(?:${CONTRACTION})?`, '\\p{N}'),
    ],
    wholeWords: true,
  },
  {
    names: 'kimi-k2',
    steps: [
      any(
        `[${HAN}]+`,
        `[^\\r\\n\\p{L}\\p{N}]?[\\p{L}--[${HAN}]]+(?:${CONTRACTION})?`,
        THREE,
        SIGNS,
        LINE_ENDS,
        SPACES,
      ),
    ],
  },
  { names: 'superbpe', steps: ['\\p{N}+', () => cutThousands('[0-9]', 'before')] },
  { names: 'poro-chat bloom gpt3-finnish', steps: [SENTENCE] },
  { names: 'viking', steps: [SENTENCE, '\\p{N}'] },
  {
    names: 'chameleon',
    steps: [
      '<sentinel:[0-9]+>',
      'IMGIMG[A-I]{1,4}Z',
      '[\\t\\n]|    |  ',
      '\\p{N}',
      '[\\p{P}!-\\/:-@\\[-`\\{-~]',
      GPT2,
    ],
    begin: 'unless-refused',
  },
  {
    names: 'gemma4 granite-embed-multi-311m',
    steps: [LINES],
    begin: 'always',
    plainText: true,
    wholeLineEnds: true,
  },
  { names: 'sarvam-moe', steps: [LINES], plainText: true },
];

const BY_NAME: ReadonlyMap<string, Rule> = new Map(
  RULES.flatMap((rule) => rule.names.split(' ').map((name) => [name, rule])),
);

/** Every known value of tokenizer.ggml.pre. */
export const PRE_TOKENIZERS: readonly string[] = [...BY_NAME.keys()];

/** The pre-tokenizer called `name`, or undefined when it is not known. */
export function preTokenizer(name: string): PreTokenizer | undefined {
  const rule = BY_NAME.get(name);
  if (!rule) return undefined;
  const cuts = rule.steps.map((step) => (typeof step === 'string' ? cutAt(step) : step()));
  return {
    cut: cutInTurn(cuts),
    wholeWords: rule.wholeWords ?? false,
    begin: rule.begin ?? 'asked',
    plainText: rule.plainText ?? false,
    wholeLineEnds: rule.wholeLineEnds ?? false,
  };
}
