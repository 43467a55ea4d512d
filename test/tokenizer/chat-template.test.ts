import { describe, expect, test } from '@jest/globals';
import { ModelFormatError, OptionError, UnsupportedError } from '../../sdk/error.js';
import { openModelFile } from '../../sdk/model/open-model-file.js';
import type { MetadataValue } from '../../sdk/model/model-file.js';
import { ChatTemplate, type ChatMessage } from '../../sdk/tokenizer/chat-template.js';
import { DEMO_MODEL, demoPrompt } from '../peer/answers.js';
import { ListMetadata } from './list-metadata.js';

const of = (template: string, more: Record<string, MetadataValue> = {}) =>
  new ChatTemplate(new ListMetadata({ 'tokenizer.chat_template': template, ...more }), 'model.gguf');

describe('chat templates', () => {
  test("the demo model's gives ChatML", async () => {
    const template = new ChatTemplate((await openModelFile(DEMO_MODEL)).metadata, DEMO_MODEL);
    const user = { role: 'user', content: 'Dim the "kitchen" lights & <b>lock</b> the {{door}}.' };
    expect(template.render([user], { addGenerationPrompt: true })).toBe(demoPrompt(user.content));
    expect(template.render([user, { role: 'assistant', content: '[]' }])).toBe(
      `<|im_start|>user\n${user.content}<|im_end|>\n<|im_start|>assistant\n[]<|im_end|>\n`,
    );
    expect(template.render([])).toBe('');
  });

  test('begin and end tokens are known by name', () => {
    const ids = {
      'tokenizer.ggml.tokens': ['<s>', 'a', '</s>'],
      'tokenizer.ggml.bos_token_id': 0,
      'tokenizer.ggml.eos_token_id': 2,
    };
    expect(
      of('{{ bos_token }}{{ messages[0].content }}{{ eos_token }}', ids).render([
        { role: 'user', content: 'x' },
      ]),
    ).toBe('<s>x</s>');
    expect(of('{{ bos_token }}|').render([])).toBe('|');
  });

  test('loops, conditions, filters and namespaces of published templates work', () => {
    const source =
      "{%- if messages[0]['role'] == 'system' -%}{%- set first = messages[0]['content'] | trim -%}{%- set rest = messages[1:] -%}" +
      "{%- else -%}{%- set first = 'none' -%}{%- set rest = messages -%}{%- endif -%}" +
      '{%- set ns = namespace(count=0) -%}{{ first | upper }}' +
      '{%- for m in rest -%}{%- set ns.count = ns.count + 1 -%}[{{ loop.index }}:{{ m.role }}:{{ m.content | tojson }}]{%- endfor -%}{{ ns.count }}' +
      "{%- if tools is defined -%}tools{%- endif -%}{{ 'open' if add_generation_prompt else 'closed' }}";
    const messages = [
      { role: 'system', content: ' be brief ' },
      { role: 'user', content: 'a "b"' },
    ];
    expect(of(source).render(messages, { addGenerationPrompt: true })).toBe(
      'BE BRIEF[1:user:"a \\"b\\""]1open',
    );
    expect(of(source).render([messages[1]!])).toBe('NONE[1:user:"a \\"b\\""]1closed');
  });

  test('a model without one says so', () => {
    const open = () => new ChatTemplate(new ListMetadata({}), 'model.gguf');
    expect(open).toThrow(UnsupportedError);
    expect(open).toThrow('model.gguf has no chat template');
  });

  test.each(['{% for m in messages %}', '{{ messages', '{% if %}{% endif %}', '{% nothing %}'])(
    '%s cannot be read',
    (source) => {
      expect(() => of(source)).toThrow(ModelFormatError);
      expect(() => of(source)).toThrow(/model\.gguf: the chat template cannot be read: ./);
    },
  );

  test('a template that refuses messages is quoted', () => {
    const template = of("{{ raise_exception('Roles must alternate') }}");
    expect(() => template.render([])).toThrow(ModelFormatError);
    expect(() => template.render([])).toThrow(/does not take these messages: .*Roles must alternate/);
  });

  test('a template that fails says why', () => {
    expect(() => of('{{ messages | nosuchfilter }}').render([])).toThrow(
      /does not take these messages: .*nosuchfilter/,
    );
  });

  test.each<[string, unknown, RegExp]>([
    ['text', 'hello', /messages is no array/],
    ['null', [null], /messages\[0\]\.role/],
    ['a message without role', [{ content: 'x' }], /messages\[0\]\.role/],
    [
      'a message without content',
      [{ role: 'user', content: 'x' }, { role: 'user' }],
      /messages\[1\]\.content/,
    ],
  ])('%s in place of messages is refused', (_, messages, message) => {
    const render = () => of('x').render(messages as ChatMessage[]);
    expect(render).toThrow(OptionError);
    expect(render).toThrow(message);
  });

  const tool = { type: 'function', function: { name: 'light', parameters: { type: 'object' } } };
  const call = (given: unknown): ChatMessage => ({
    role: 'assistant',
    tool_calls: [{ function: { name: 'light', arguments: given } }],
  });
  const loop = (body: string) => `{% for m in messages %}${body}{% endfor %}`;

  test('tools reach templates that have a place for them', () => {
    const template = of('{% if tools %}{{ tools[0].function.name }}{% endif %}|');
    expect(template.takesTools).toBe(true);
    expect(template.render([], { tools: [tool] })).toBe('light|');
    expect(template.render([], { tools: [] })).toBe('|');
    expect(of('x').takesTools).toBe(false);
    expect(() => of('x').render([], { tools: [tool] })).toThrow(UnsupportedError);
    const two = of('plain', { 'tokenizer.chat_template.tool_use': '{{ tools | length }}' });
    expect([two.render([]), two.render([], { tools: [tool] })]).toEqual(['plain', '1']);
  });

  test('arguments of calls come in the form that the template writes', () => {
    const open = '{% for c in m.tool_calls or [] %}';
    const asObject = of(loop(`${open}{{ c.function.arguments | tojson }}{% endfor %}`));
    const asJson = of(loop(`${open}{{ c.function.arguments + '' }}{% endfor %}`));
    for (const template of [asObject, asJson])
      for (const given of [{ room: 'hall' }, '{"room":"hall"}'])
        expect(template.render([call(given)]).replaceAll(' ', '')).toBe('{"room":"hall"}');
  });

  test('contents come as text or as parts, as the template takes them', () => {
    const content = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ];
    expect(of(loop('{{ m.content + "!" }}')).render([{ role: 'user', content }])).toBe('one\ntwo!');
    const parts = of(loop('{% for p in m.content %}[{{ p.text }}]{% endfor %}'));
    expect(
      parts.render([
        { role: 'user', content },
        { role: 'user', content: 'x' },
      ]),
    ).toBe('[one][two][x]');
  });

  test('the time and other variables can be given', () => {
    const now = new Date(2026, 2, 5, 14, 7, 9);
    expect(of("{{ strftime_now('%d %b %Y %-d %B %A %j %I:%M:%S %p %y %%') }}").render([], { now })).toBe(
      '05 Mar 2026 5 March Thursday 064 02:07:09 PM 26 %',
    );
    expect(of('{{ thinking }}').render([], { variables: { thinking: 'on' } })).toBe('on');
    expect(() => of('x').render([], { variables: { tools: [] } })).toThrow(OptionError);
  });

  test('a range without end is refused', () => {
    expect(of('{% for i in range(1, 4) %}{{ i }}{% endfor %}').render([])).toBe('123');
    expect(() => of('{% for i in range(1000000000000) %}{% endfor %}').render([])).toThrow(
      /range.* is too long/,
    );
  });

  test.each<[string, unknown, object, RegExp]>([
    [
      'a picture',
      [{ role: 'user', content: [{ type: 'image' }] }],
      {},
      /content\[0\] is no text but "image"/,
    ],
    ['calls that are none', [{ role: 'assistant', tool_calls: [{}] }], {}, /tool_calls is no array of calls/],
    ['tools that are none', [], { tools: [{ name: 'x' }] }, /tools is no array of functions/],
  ])('%s are refused', (_, messages, options, message) => {
    const render = () => of('{{ tools }}').render(messages as ChatMessage[], options);
    expect(render).toThrow(OptionError);
    expect(render).toThrow(message);
  });
});
