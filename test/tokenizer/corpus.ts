import { Random } from '../models/random.js';

/** Texts that tokenizers stumble over. */
export const CORPUS: readonly string[] = [
  '',
  ' ',
  'a',
  'Hello, world!',
  'The quick brown fox jumps over the lazy dog.',
  'Dim the kitchen lights to 40 and lock the garage door.',
  "I'm sure they'll say it's what we've said, don't you? You'd know; they're here.",
  "I'M SURE THEY'LL SAY IT'S WHAT WE'VE SAID. YOU'D KNOW. 'Tis 'sT'rE",
  "rock'n'roll 'quoted' ''double'' '",
  '0 1 12 123 1234 12345 3.14159 1,000,000 0xDEADBEEF 1e-9 ١٢٣ ४५६ Ⅷ ½ ²',
  'für Größe, Straße und Übermut: „naïve“ façade — Ångström',
  'Съешь же ещё этих мягких французских булок, да выпей чаю',
  'Ξεσκεπάζω την ψυχοφθόρα βδελυγμία',
  'نص حكيم له سر قاطع وذو شأن عظيم',
  'דג סקרן שט בים מאוכזב ולפתע מצא חברה',
  'ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण',
  'เป็นมนุษย์สุดประเสริฐเลิศคุณค่า',
  '我能吞下玻璃而不伤身体。今天天气很好!',
  'いろはにほへと ちりぬるを カタカナ ガギグゲゴ',
  '다람쥐 헌 쳇바퀴에 타고파',
  'tiếng Việt: Con sói nâu nhảy qua con chó lười',
  '👍 🏡🔥 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ✌🏽 ☃️ 🤷🏻‍♀️',
  '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒮𝒸𝓇𝒾𝓅𝓉 𓀀𓂀 𐍈',
  'e\u0301 n\u0303o a\u0308\u0304 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘',
  '\u0301starts with a mark',
  'tab\tand\t\ttabs, line\nends\n\nand\r\nmore\r\r\n\n  indented\n\t\tdeeper\n',
  'trailing spaces   ',
  '   leading spaces',
  'a  b   c    d     e',
  ' \n \n\n  \n x \n',
  '\n',
  '\r\n\r\n',
  'no\u00a0break\u2003em\u3000ideographic\u2028line\u2029paragraph\u0085next\u000bvertical\u000cform\u1680ogham',
  '\ufeffstarts with a byte order mark',
  'zero\u200bwidth\u200c\u200d\u2060\ufeffspaces \ufeff \ufeff',
  '\u0000\u0001\u001b[31mred\u001b[0m\u007f\u0080\u009f',
  'const f = (x: number): string => `${x ** 2}`; // комментарий\n\tif (a !== b && c?.[0]) { return; }\n',
  '<html lang="en"><p class=\'x\'>&nbsp;</p></html>',
  '{"do":"ev.limit","percent":80,"list":[1,2.5e3,null,true]}',
  'SELECT * FROM "t" WHERE a = \'b\' -- comment\n;',
  'https://example.org/a/b?c=d&e=%20f#g user@example.org C:\\path\\file',
  '!!! ??? ... --- === *** ___ ### $$$ %%% ^^^ &&& ((( ))) [[[ ]]] {{{ }}} ||| ~~~',
  '∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∮ E⋅da = Q',
  '┌─┬─┐│ │ │└─┴─┘ ░▒▓█ ♔♕♖ ①②③ ㍿',
  "ﬁ ﬂ ŉ ǆ İı ẞß ſ 'ſ Σσς K Å",
  '\ufffd\ufffe\uffff\u{10ffff}\u{e0001}',
  'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft',
  'a'.repeat(1000),
  'ab '.repeat(300),
  ' '.repeat(500) + 'x',
  '\n'.repeat(300),
  '漢'.repeat(400),
  '-'.repeat(500),
  '0123456789'.repeat(50),
  '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n',
  '<|im_start|><|im_start|><|im_end|><|endoftext|>',
  '<|im_end|<|im_end|>|> <| im_end |> <|IM_END|>',
];

/** Ranges of characters that have been in Unicode for long, so that tables of different age agree on them. */
const RANGES: readonly (readonly [number, number])[] = [
  [0x00, 0x7f],
  [0x20, 0x7e],
  [0x30, 0x39],
  [0x61, 0x7a],
  [0x80, 0x24f],
  [0x300, 0x36f],
  [0x391, 0x3a9],
  [0x410, 0x44f],
  [0x5d0, 0x5ea],
  [0x627, 0x64a],
  [0x660, 0x669],
  [0x905, 0x94d],
  [0x1100, 0x11ff],
  [0x2000, 0x206f],
  [0x2070, 0x209c],
  [0x2190, 0x21ff],
  [0x2460, 0x24ff],
  [0x3000, 0x30ff],
  [0x4e00, 0x9fa5],
  [0xac00, 0xd7a3],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xff01, 0xff5e],
  [0x1d400, 0x1d454],
  [0x1f300, 0x1f5ff],
  [0x1f600, 0x1f64f],
  [0x20000, 0x2a6d6],
];
const FRAGMENTS = [
  "'s",
  "'LL",
  "n't",
  ' ',
  '  ',
  '\n',
  '\r\n',
  '\t',
  '<|im_end|>',
  '<|im_start|>',
  ' the',
  'ing',
  '."',
];

/** Random strings of `count` pieces at most, each from a few kinds of characters; equal seeds give equal strings. */
export function* randomTexts(count: number, seed: number): Generator<string> {
  const random = new Random(`texts ${seed}`);
  for (let i = 0; i < count; i++) {
    const kinds = Array.from({ length: 1 + random.below(4) }, () => RANGES[random.below(RANGES.length)]!);
    let text = '';
    for (let left = random.below(40); left > 0; left--) {
      const [first, last] = kinds[random.below(kinds.length)]!;
      if (random.below(5) === 0) text += FRAGMENTS[random.below(FRAGMENTS.length)];
      else text += String.fromCodePoint(first + random.below(last - first + 1));
    }
    yield text;
  }
}

/** Texts with what other vocabularies than the demo's know, and what their rules about words are about. */
export const SPECIAL_CORPUS: readonly string[] = [
  '<s>hello</s> <s> hello </s>\n\nhello',
  '<|user|>\n \t hi <|end|> \n\n<|assistant|>\n  <|end|>',
  '<|endoftext|> a <|endoftext|>\n<unk> b<unk>',
  '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>',
  '<start_of_turn>user\nhi<end_of_turn>\n<bos><eos><pad><mask> <b>bold</b>\n\n\n<i>',
  '<|channel|>final<|message|>hi<|return|><|call|><｜end▁of▁sentence｜><fim_prefix>a<fim_suffix>',
  '▁▁a▁ b ▁ <0x0A><0xFF> \u2581',
  '<sentinel:12> IMGIMGABCDZ <sentinel:> IMGIMGABCDEZ',
  "camelCaseWords HTTPServer XMLHttpRequest iOS eBay ÄÖÜäöü ÉcoleÉCOLE МоскваМОСКВА don’t DON'T x'LLy",
  '1 12 123 1234 12345 123456 1234567 a1234567b ¹²³1234 ٣٤٥٦٧ 12٣456 1,234.5678',
  'a.\nb!\r\nc?/\n\n// d /\n/ e...\n\n\n',
  'नमस्ते दुनिया। ভালোবাসা ไทยแลนด์ ຂອບໃຈ ភាសាខ្មែរ မြန်မာ 안녕ㅋㅋㅋ ㄅㄆㄇ ｱｲｳ豈更',
  '「引用」、。《书》！？：；，、‘単’“語”—…︰﹏',
  '\u3000\u3000全角\u3000空白\u2003\u2003x\u3000',
  ' '.repeat(700),
  `${' '.repeat(17)}x${' '.repeat(33)}\n${' '.repeat(5)}y`,
  'a\ud83cb \udfe1 x\ud83c',
  '٠١٢٣٤٥٦٧٨٩'.repeat(4),
  'a-b_c$d%e^f&g*h(i)j=k+l[m]n{o}p|q\\r;s:t"u<v>w,x.y/z?~`!@#',
];
