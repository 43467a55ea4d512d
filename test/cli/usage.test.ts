import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { temporaryFolder } from './folder.js';
import { failure, MODEL, pocketmoe } from './pocketmoe.js';

const folder = temporaryFolder();
const COMMANDS = ['plan', 'pack', 'run', 'inspect', 'eval', 'replay'];

describe('help', () => {
  test('--version is the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await pocketmoe('--version')).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('--help names every command, with examples', async () => {
    const { status, stdout } = await pocketmoe('--help');
    expect(status).toBe(0);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(stdout).toContain('Examples:');
  });

  test.each(COMMANDS)('%s --help has an example and --json', async (command) => {
    const { status, stdout } = await pocketmoe(command, '--help');
    expect(status).toBe(0);
    expect(stdout).toContain(`pocketmoe ${command} `);
    expect(stdout).toContain('--json');
  });
});

describe('wrong command lines', () => {
  test('for people: two plain lines on stderr, nothing on stdout', async () => {
    const { status, stdout, stderr } = await pocketmoe('run', '/no/such/model', 'hello');
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^.*\/no\/such\/model.*\n.+\n$/);
  });

  test('no command', async () => {
    expect(await pocketmoe()).toMatchObject({ status: 2, stdout: '' });
  });

  test.each([
    ['command/unknown-command', ['walk', MODEL]],
    ['command/unknown-option', ['plan', MODEL, '--memroy', '1GiB']],
    ['command/missing-argument', ['plan']],
    ['command/excess-arguments', ['plan', MODEL, MODEL]],
    ['command/option-missing-argument', ['plan', MODEL, '--memory']],
    ['command/invalid-argument', ['plan', MODEL, '--lanes', 'two']],
    ['command/invalid-argument', ['run', MODEL, 'hello', '--temperature', 'warm']],
    ['command/invalid-argument', ['eval', MODEL, '--tokens', '1,x', '--logits', 'out']],
  ])('%s', async (code, args) => {
    // behind an option without its value, --json would be that value
    const error = await (code === 'command/option-missing-argument'
      ? failure('--json', ...args)
      : failure(...args));
    expect(error).toMatchObject({ status: 2, code });
    expect(error.message).not.toMatch(/^error/);
    expect(error.hint).not.toBe('');
  });

  test('a misspelt option is told its neighbour', async () => {
    expect((await failure('plan', MODEL, '--memroy', '1GiB')).hint).toContain('--memory');
  });
});

describe('wrong values are refused with what would work', () => {
  test.each([
    ['option/memory', ['plan', MODEL, '--memory', 'lots'], /600MiB/],
    ['option/policy', ['run', MODEL, 'hi', '--policy', 'random'], /lru/],
    ['option/flash', ['run', MODEL, 'hi', '--flash', 'tape'], /buffered/],
    ['option/kv', ['run', MODEL, 'hi', '--kv', 'f64'], /q8_0/],
    ['option/contextLength', ['run', MODEL, 'hi', '--context', '100000'], /256/],
    ['option/prompt', ['run', MODEL, '', '--raw'], /./],
    ['option/eval', ['eval', MODEL], /--text/],
    ['option/logits', ['eval', MODEL, '--tokens', '1'], /both/],
    ['option/file', ['eval', MODEL, '--text', '/no/such/text'], /readable/],
    ['option/file', ['replay', '/no/such/trace'], /readable/],
    ['trace/format', ['replay', MODEL], /recorded/],
  ])('%s', async (code, args, hint) => {
    const error = await failure(...args);
    expect(error).toMatchObject({ status: 1, code });
    expect(error.hint).toMatch(hint);
  });

  test.each([['plan'], ['run'], ['inspect'], ['eval'], ['pack']])('%s of a missing file', async (command) => {
    const path = join(folder, 'missing.gguf');
    const rest = { run: ['hi'], eval: ['--text', MODEL], pack: [join(folder, 'out')] }[command] ?? [];
    expect(await failure(command, path, ...rest)).toMatchObject({
      code: 'model/open',
      message: expect.stringContaining(path),
    });
  });

  test('a file that is no model', async () => {
    const path = join(folder, 'text.gguf');
    writeFileSync(path, 'Call me Ishmael. '.repeat(100));
    expect((await failure('run', path, 'hi')).code).toMatch(/^model\//);
  });

  test('an unknown family is refused by its name, with the known ones', async () => {
    const bytes = readFileSync(MODEL);
    const at = bytes.indexOf('smallthinker', bytes.indexOf('general.architecture'));
    bytes.write('unheardofmoe', at);
    const path = join(folder, 'unknown.gguf');
    writeFileSync(path, bytes);
    for (const args of [
      ['run', path, 'hi'],
      ['plan', path],
    ]) {
      const error = await failure(...args);
      expect(error.code).toMatch(/^unsupported\//);
      expect(error.message).toContain('unheardofmoe');
      expect(`${error.message} ${error.hint}`).toContain('smallthinker');
    }
  });

  test('requests with a broken line are told its number', async () => {
    const path = join(folder, 'broken.jsonl');
    writeFileSync(path, '{"request": "a", "answer": "b"}\n{"request": 1}\n');
    const error = await failure('eval', MODEL, '--requests', path);
    expect(error).toMatchObject({ code: 'option/requests', message: expect.stringContaining('line 2') });
  });
});
