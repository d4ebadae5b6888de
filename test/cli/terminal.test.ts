import { afterEach, describe, expect, test, vi } from 'vitest';
import { paint, table, wrapped } from '../../cli/terminal/terminal.js';

const terminal = { isTTY: true } as NodeJS.WriteStream;
const pipe = { isTTY: false } as NodeJS.WriteStream;

describe('colour', () => {
  afterEach(() => vi.unstubAllEnvs());
  const painted = (stream: NodeJS.WriteStream, env: Readonly<Record<string, string | undefined>>) => {
    for (const [name, value] of Object.entries({ NO_COLOR: undefined, TERM: 'xterm', ...env }))
      vi.stubEnv(name, value);
    return paint('word', 'red', stream) !== 'word';
  };

  test.each([
    ['a terminal has it', terminal, {}, true],
    ['an empty NO_COLOR says nothing', terminal, { NO_COLOR: '' }, true],
    ['NO_COLOR turns it off', terminal, { NO_COLOR: '1' }, false],
    ['a dumb terminal has none', terminal, { TERM: 'dumb' }, false],
    ['a pipe has none', pipe, {}, false],
  ])('%s', (_case, stream, env, expected) => {
    expect(painted(stream, env)).toBe(expected);
  });
});

describe('a table', () => {
  const rows = [
    [{ text: 'one' }, { text: 'a cell of more words than fit' }],
    [{ text: 'three' }, { text: 'short' }],
  ];

  test('a table breaks its last column between words, and continues it below itself', () => {
    expect(table(['key', 'value'], rows, 24)).toBe(
      ['key    value', 'one    a cell of more', '       words than fit', 'three  short'].join('\n'),
    );
  });

  test('a table is not broken when a program reads it', () => {
    expect(table(['key', 'value'], rows, Number.POSITIVE_INFINITY).split('\n')).toHaveLength(3);
  });
});

test('wrapped text keeps its words whole, also a word that is wider than a line', () => {
  expect(wrapped('a word-that-is-too-wide b', '  ', 10)).toBe('  a\n  word-that-is-too-wide\n  b');
});
