import { ModelFormatError, OptionError, UnsupportedError } from '../error.js';
import type { Metadata } from '../model/model-file.js';
import {
  checkMessages,
  checkTools,
  contentText,
  type ChatMessage,
  type ChatTool,
  type ChatToolCall,
} from './chat-message.js';
import { TemplateProgram } from './template-program.js';

export type { ChatMessage, ChatPart, ChatTool, ChatToolCall } from './chat-message.js';

export interface RenderOptions {
  /** The assistant's turn is open at the end; default false. */
  readonly addGenerationPrompt?: boolean;
  /** Functions that the model may call; default none. */
  readonly tools?: readonly ChatTool[];
  /** Other names that the template knows ("enable_thinking", "date_string", "documents" …); default none. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What the template takes for the time, in local time; default now. */
  readonly now?: Date;
}

const TEMPLATE = 'tokenizer.chat_template';
const TOOL_TEMPLATE = 'tokenizer.chat_template.tool_use';
const RESERVED = ['messages', 'tools', 'add_generation_prompt', 'strftime_now'];
/** Texts of tokens by the names that templates have for them. */
const TOKEN_KEYS = { bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding' } as const;
/** A text that no template has. */
const NEEDLE = 'q7zhaystack';

/** A model's own way of writing a conversation as text: the Jinja template of tokenizer.chat_template. */
export class ChatTemplate {
  private readonly plain: TemplateProgram;
  /** The template for conversations with tools; null when the model knows no tools. */
  private readonly withTools: TemplateProgram | null;
  private readonly names: Readonly<Record<string, string>>;
  private readonly forms = new Map<
    TemplateProgram,
    { content: 'text' | 'parts'; calls: 'object' | 'json' }
  >();

  /**
   * `where` names the model in messages. Throws UnsupportedError (unsupported/chat-template) when the model has no
   * template, ModelFormatError (model/chat-template) when it cannot be parsed.
   */
  constructor(
    metadata: Metadata,
    private readonly where: string,
  ) {
    if (!metadata.has(TEMPLATE))
      throw new UnsupportedError(
        'unsupported/chat-template',
        `${where} has no chat template`,
        'Give the prompt as text in the form that the model was trained on, or use a model tuned for chat.',
      );
    let source = metadata.string(TEMPLATE);
    this.plain = parse(source, where);
    this.withTools = /\btools\b/.test(source) ? this.plain : null;
    if (metadata.has(TOOL_TEMPLATE)) {
      const other = metadata.string(TOOL_TEMPLATE);
      this.withTools = parse(other, where);
      source += other;
    }
    this.names = tokenNames(metadata, source);
  }

  /** Whether the template has a place for tools. */
  get takesTools(): boolean {
    return this.withTools !== null;
  }

  /**
   * The conversation as the text of a prompt. Contents of several parts are written in the form that the template
   * takes, arguments of calls too. Throws OptionError (option/messages, option/tools, option/variables) for values that
   * are none, UnsupportedError (unsupported/tools) when the template has no place for tools, ModelFormatError
   * (model/chat-template) when the template fails on the messages or refuses them.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { tools = [], variables = {} } = options;
    checkMessages(messages);
    checkTools(tools);
    for (const name of RESERVED)
      if (name in variables)
        throw new OptionError(
          'option/variables',
          `variables has "${name}", which is set by an option of its own`,
          'Use messages, tools, addGenerationPrompt and now.',
        );
    if (tools.length > 0 && !this.withTools)
      throw new UnsupportedError(
        'unsupported/tools',
        `${this.where}: the chat template has no place for tools`,
        'Describe the tools in a system message, or use a model that was trained to call them.',
      );
    const template = tools.length > 0 ? this.withTools! : this.plain;
    try {
      return this.run(template, this.shaped(template, messages), options);
    } catch (error) {
      throw new ModelFormatError(
        'model/chat-template',
        `${this.where}: the chat template does not take these messages: ${reason(error)}`,
        'Check the roles and their order (many templates want user and assistant in turn), or give the prompt as text.',
      );
    }
  }

  private run(
    template: TemplateProgram,
    messages: readonly unknown[],
    { addGenerationPrompt = false, tools = [], variables = {}, now = new Date() }: RenderOptions,
  ): string {
    const rendered = {
      ...this.names,
      ...defined(variables),
      messages,
      ...(tools.length > 0 ? { tools } : {}),
      add_generation_prompt: addGenerationPrompt,
    };
    return template.render(rendered, now);
  }

  /** Messages in the form that the template takes. */
  private shaped(template: TemplateProgram, messages: readonly ChatMessage[]): unknown[] {
    let forms = this.forms.get(template);
    if (!forms) this.forms.set(template, (forms = this.probe(template)));
    const { content, calls } = forms;
    return messages.map((message) => {
      const shaped: Record<string, unknown> = defined(message);
      if (message.content !== undefined && message.content !== null) {
        const text = contentText(message.content);
        shaped['content'] = content === 'text' ? text : partsOf(message.content);
      }
      if (message.tool_calls)
        shaped['tool_calls'] = message.tool_calls.map((call) => shapedCall(call, calls));
      return shaped;
    });
  }

  /** Tries which form of content and of arguments comes out of a template; text and objects where both do. */
  private probe(template: TemplateProgram): { content: 'text' | 'parts'; calls: 'object' | 'json' } {
    const shows = (text: string, ...messages: unknown[]): boolean => {
      try {
        return this.run(template, messages, {}).includes(text);
      } catch {
        return false; // It refuses this conversation; that tells nothing.
      }
    };
    const user = (content: unknown) => ({ role: 'user', content });
    const parts = !shows(NEEDLE, user(NEEDLE)) && shows(NEEDLE, user([{ type: 'text', text: NEEDLE }]));
    const call = (given: unknown) => [
      user(parts ? [{ type: 'text', text: 'a' }] : 'a'),
      {
        role: 'assistant',
        content: parts ? [] : '',
        tool_calls: [{ id: 'call00000', type: 'function', function: { name: 'f', arguments: given } }],
      },
    ];
    const value = { [NEEDLE]: 'b' };
    // As a key in JSON, or in the tags that some templates write; not escaped inside a string.
    const found = (given: unknown) =>
      [`"${NEEDLE}":`, `=${NEEDLE}>`, `>${NEEDLE}<`, `${NEEDLE}:`].some((text) =>
        shows(text, ...call(given)),
      );
    const json = !found(value) && found(JSON.stringify(value));
    return { content: parts ? 'parts' : 'text', calls: json ? 'json' : 'object' };
  }
}

function parse(source: string, where: string): TemplateProgram {
  try {
    return new TemplateProgram(source);
  } catch (error) {
    throw new ModelFormatError(
      'model/chat-template',
      `${where}: the chat template cannot be read: ${reason(error)}`,
      'Give the prompt as text, or use a file with another template.',
    );
  }
}

function partsOf(content: NonNullable<ChatMessage['content']>): unknown {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

function shapedCall(call: ChatToolCall, form: 'object' | 'json'): unknown {
  const given = call.function.arguments ?? {};
  const isText = typeof given === 'string';
  const shaped = form === 'json' ? (isText ? given : JSON.stringify(given)) : isText ? parsed(given) : given;
  return { type: 'function', ...defined(call), function: { ...call.function, arguments: shaped } };
}

/** Text that is no JSON reaches the template as it is. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Without the properties that are undefined: a template would see them as defined. */
function defined(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/** Texts of tokens that templates write, such as the begin and end tokens. */
function tokenNames(metadata: Metadata, source: string): Record<string, string> {
  const wanted = new Map<number, string[]>();
  for (const [name, key] of Object.entries(TOKEN_KEYS)) {
    const id = metadata.numberOr(`tokenizer.ggml.${key}_token_id`, null);
    if (id !== null && source.includes(`${name}_token`))
      wanted.set(id, [...(wanted.get(id) ?? []), `${name}_token`]);
  }
  const names: Record<string, string> = {};
  if (wanted.size === 0) return names;
  metadata.eachString('tokenizer.ggml.tokens', (bytes, from, to, id) => {
    for (const name of wanted.get(id) ?? []) names[name] = Buffer.from(bytes.subarray(from, to)).toString();
  });
  return names;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
