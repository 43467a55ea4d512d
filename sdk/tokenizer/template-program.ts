import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { formatDate } from './date-format.js';

/** More elements than any conversation has; a template that asks for more is broken or hostile. */
const RANGE_LIMIT = 100_000;

/** A parsed Jinja template. */
export class TemplateProgram {
  private readonly template: Template;

  /** Throws Error when the source cannot be parsed. */
  constructor(source: string) {
    this.template = new Template(source);
  }

  /** The text for these variables, with `now` as the time. Throws Error when the template fails. */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const environment = new Environment();
    const globals = {
      true: true,
      True: true,
      false: false,
      False: false,
      none: null,
      None: null,
      range,
      raise_exception: (message: unknown) => {
        throw new Error(String(message));
      },
      strftime_now: (format: string) => formatDate(now, format),
    };
    for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
    const result = new Interpreter(environment).run(this.template.parsed);
    return String(result.value);
  }
}

/** Python's range. */
function range(first: number, second?: number, step = 1): number[] {
  const [from, to] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((to - from) / step));
  if (step === 0 || !(count <= RANGE_LIMIT)) throw new Error(`range(${from}, ${to}, ${step}) is too long`);
  return Array.from({ length: count }, (_, i) => from + i * step);
}
