import { Template } from '@huggingface/jinja';
import { ModelFormatError, OptionError, UnsupportedError } from '../error.js';
import type { Metadata } from '../model/model-file.js';

/** One turn of a conversation. */
export interface ChatMessage {
  /** "system", "user", "assistant", or what else the model's template knows. */
  readonly role: string;
  readonly content: string;
}

/** A model's own way of writing a conversation as text: the Jinja template of tokenizer.chat_template. */
export class ChatTemplate {
  private readonly template: Template;
  private readonly names: Readonly<Record<string, string>>;

  /**
   * `where` names the model in messages. Throws UnsupportedError (unsupported/chat-template) when the model has no
   * template, ModelFormatError (model/chat-template) when it cannot be parsed.
   */
  constructor(
    metadata: Metadata,
    private readonly where: string,
  ) {
    if (!metadata.has('tokenizer.chat_template'))
      throw new UnsupportedError(
        'unsupported/chat-template',
        `${where} has no chat template`,
        'Give the prompt as text in the form that the model was trained on, or use a model tuned for chat.',
      );
    const source = metadata.string('tokenizer.chat_template');
    try {
      this.template = new Template(source);
    } catch (error) {
      throw new ModelFormatError(
        'model/chat-template',
        `${where}: the chat template cannot be read: ${reason(error)}`,
        'Give the prompt as text, or use a file with another template.',
      );
    }
    this.names = tokenNames(metadata, source);
  }

  /**
   * The conversation as the text of a prompt; with `addGenerationPrompt` (default false) the assistant's turn is open
   * at its end. Throws OptionError (option/messages) for values that are no messages, ModelFormatError
   * (model/chat-template) when the template fails on them or refuses them.
   */
  render(messages: readonly ChatMessage[], options: { addGenerationPrompt?: boolean } = {}): string {
    checkMessages(messages);
    try {
      return this.template.render({
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: options.addGenerationPrompt ?? false,
        ...this.names,
      });
    } catch (error) {
      throw new ModelFormatError(
        'model/chat-template',
        `${this.where}: the chat template does not take these messages: ${reason(error)}`,
        'Check the roles and their order (many templates want user and assistant in turn), or give the prompt as text.',
      );
    }
  }
}

function checkMessages(messages: readonly ChatMessage[]): void {
  const wrong = (what: string) =>
    new OptionError('option/messages', what, 'Give an array of { role, content }, both of them strings.');
  if (!Array.isArray(messages)) throw wrong('messages is no array');
  messages.forEach((message: unknown, index) => {
    const { role, content } = (message ?? {}) as Record<string, unknown>;
    if (typeof role !== 'string') throw wrong(`messages[${index}].role is no string`);
    if (typeof content !== 'string') throw wrong(`messages[${index}].content is no string`);
  });
}

/** Texts of the begin and end tokens, for templates that write them. */
function tokenNames(metadata: Metadata, source: string): Record<string, string> {
  const names: Record<string, string> = {};
  let tokens: readonly string[] | undefined;
  for (const name of ['bos', 'eos']) {
    const key = `tokenizer.ggml.${name}_token_id`;
    // Decoding a large vocabulary for a name that is not used would delay the first token.
    if (!source.includes(`${name}_token`) || !metadata.has(key)) continue;
    tokens ??= metadata.strings('tokenizer.ggml.tokens');
    const text = tokens[metadata.number(key)];
    if (text !== undefined) names[`${name}_token`] = text;
  }
  return names;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
