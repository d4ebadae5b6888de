/** A newcomer's first view: `npm start`, on terminals of two widths, and without a terminal. */
import { beforeAll, describe, expect, test } from 'vitest';
import { program } from '../../cli/program.js';
import { BUILT_IN } from '../../plugins/index.js';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { run } from '../../testing/run.js';
import { QMCP, qmcp } from '../support/qmcp.js';

/** Runs `qmcp demo` on a terminal; lines end as in a file. */
async function onTerminal(columns: number, env: Readonly<Record<string, string>>): Promise<string> {
  const settings = Object.entries({ TERM: 'xterm-256color', NO_COLOR: '', ...env }).map(
    ([name, value]) => `${name}=${value}`,
  );
  const command = ['/usr/bin/env', ...settings, process.execPath, QMCP, 'demo'];
  const { code, out } = await run(python(), [
    '-B',
    packageFile('test/cli/terminal.py'),
    String(columns),
    ...command,
  ]);
  expect(code).toBe(0);
  return out.replaceAll('\r\n', '\n');
}

const COLOUR = /\x1b\[\d+m/g;
const plain = (text: string) => text.replace(COLOUR, '');
/** The output of a run without its line breaks and times. */
const words = (text: string) =>
  plain(text)
    .replace(/\d\d:\d\d:\d\d/g, 'TIME')
    .split(/\s+/);
const widest = (text: string) =>
  Math.max(
    ...plain(text)
      .split('\n')
      .map((line) => line.length),
  );

describe('the demo', () => {
  let piped: string;
  let narrow: string;
  let wide: string;
  beforeAll(async () => {
    const { code, stdout, stderr } = await qmcp(['demo'], { env: { TERM: 'xterm-256color' } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    piped = stdout;
    narrow = await onTerminal(80, {});
    wide = await onTerminal(120, { NO_COLOR: '1' });
  });

  test('the demo fits the terminal, or 80 columns without one', () => {
    expect(widest(piped)).toBeLessThanOrEqual(80);
    expect(widest(narrow)).toBeLessThanOrEqual(80);
    expect(widest(wide)).toBeLessThanOrEqual(120);
    // The output uses the available width.
    expect(widest(wide)).toBeGreaterThan(100);
  });

  test('the demo prints the same text at every width, and breaks no word', () => {
    expect(words(narrow)).toEqual(words(piped));
    expect(words(wide)).toEqual(words(piped));
  });

  test('the demo has colours on a terminal, and none when piped or with NO_COLOR', () => {
    expect(narrow).toMatch(COLOUR);
    expect(piped).not.toContain('\x1b');
    expect(wide).not.toContain('\x1b');
  });

  test('the demo describes every tool', () => {
    for (const { name, title } of BUILT_IN.flatMap(({ tools }) => tools))
      expect(piped).toMatch(new RegExp(`^   ${name} +(?:read only|writes|destructive) +${title}$`, 'm'));
  });

  test('the demo shows the audit log as a table: one line of the log is one row, and a wide cell continues below itself', () => {
    const rows = wide.match(/^ {3}\d\d:\d\d:\d\d {4}qmcp\.\w+\.\w+ +(?:intent|outcome|refusal) .*$/gm);
    expect(rows).toHaveLength(11);
    expect(wide).toMatch(/ name-not-allowed {2}ai-debian, vault$/m);
    const heading = narrow.split('\n').find((line) => line.includes('result') && line.includes('qubes'))!;
    const column = plain(heading).indexOf('qubes');
    expect(plain(narrow)).toMatch(new RegExp(`not-found +ai-two,\n {${column}}no-such-template$`, 'm'));
  });

  test('the demo ends with commands to run next, and they exist', () => {
    const [, next] = piped.split('\nTry next\n');
    const commands = [...next!.matchAll(/^ {3}npx --no-install qmcp (\w+) ?(\w*)/gm)].map(
      ([, command, word]) => ({
        command,
        word,
      }),
    );
    expect(commands.length).toBeGreaterThanOrEqual(4);
    const known = program().commands.map((command) => command.name());
    const tools = BUILT_IN.flatMap((plugin) => plugin.tools.map(({ name }) => name as string));
    for (const { command, word } of commands) {
      expect(known).toContain(command);
      if (command === 'call' || command === 'explain') expect(tools).toContain(word);
    }
    expect(next).toContain('docs/tutorial/first-session.md');
  });
});
