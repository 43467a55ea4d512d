import { OptionError } from '../error.js';

/** A part of a message's content. */
export interface ChatPart {
  /** Only "text" is known here: models read nothing else. */
  readonly type: string;
  readonly text?: string;
}

/** A call that the assistant made, in the form of OpenAI's API, which templates are written for. */
export interface ChatToolCall {
  readonly id?: string;
  readonly type?: string;
  /** `arguments` is an object, or the JSON of one. */
  readonly function: { readonly name: string; readonly arguments: unknown };
}

/** A function that the model may call: `parameters` is a JSON schema. */
export interface ChatTool {
  readonly type?: string;
  readonly function: { readonly name: string; readonly description?: string; readonly parameters?: unknown };
}

/** One turn of a conversation. Other properties reach the template as they are ("name", "reasoning_content" …). */
export interface ChatMessage {
  /** "system", "user", "assistant", "tool", or what else the model's template knows. */
  readonly role: string;
  /** May be null or missing beside tool calls. */
  readonly content?: string | readonly ChatPart[] | null;
  readonly tool_calls?: readonly ChatToolCall[];
  readonly tool_call_id?: string;
  readonly [key: string]: unknown;
}

/** Throws OptionError (option/messages) unless all are messages. */
export function checkMessages(messages: unknown): asserts messages is readonly ChatMessage[] {
  const wrong = (what: string) =>
    new OptionError('option/messages', what, 'Give an array of { role, content }, both of them strings.');
  if (!Array.isArray(messages)) throw wrong('messages is no array');
  messages.forEach((message: unknown, index) => {
    const where = `messages[${index}]`;
    if (!isObject(message)) throw wrong(`${where}.role is no string`);
    const { role, content, tool_calls: calls } = message;
    if (typeof role !== 'string') throw wrong(`${where}.role is no string`);
    if (calls !== undefined) checkCalls(calls, `${where}.tool_calls`);
    if (Array.isArray(content)) content.forEach((part, i) => checkPart(part, `${where}.content[${i}]`));
    else if (typeof content !== 'string' && !((content ?? null) === null && calls !== undefined))
      throw wrong(`${where}.content is no string`);
  });
}

/** Throws OptionError (option/tools) unless all are tools. */
export function checkTools(tools: unknown): asserts tools is readonly ChatTool[] {
  const ok =
    Array.isArray(tools) &&
    tools.every((tool) => isObject(tool) && isObject(tool['function']) && isName(tool['function']['name']));
  if (!ok)
    throw new OptionError(
      'option/tools',
      'tools is no array of functions',
      'Give an array of { type: "function", function: { name, description, parameters } }.',
    );
}

/** The content as one string, text parts on lines of their own. */
export function contentText(content: ChatMessage['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => part.text).join('\n');
}

function checkPart(part: unknown, where: string): void {
  if (isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string') return;
  const type = isObject(part) ? String(part['type']) : typeof part;
  throw new OptionError(
    'option/messages',
    `${where} is no text${type === 'text' ? '' : ` but "${type}"`}`,
    'Models read text only: give parts as { type: "text", text }, or content as a string.',
  );
}

function checkCalls(calls: unknown, where: string): void {
  const ok =
    Array.isArray(calls) &&
    calls.every((call) => isObject(call) && isObject(call['function']) && isName(call['function']['name']));
  if (!ok)
    throw new OptionError(
      'option/messages',
      `${where} is no array of calls`,
      'Give an array of { type: "function", function: { name, arguments } }.',
    );
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
