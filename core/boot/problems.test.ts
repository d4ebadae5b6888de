import { describe, expect, test } from 'vitest';
import { printable, problem, report } from './problems.js';

describe('reports for the operator', () => {
  test('a report has one line for each problem, with its code and the plugins it keeps out', () => {
    const text = report([
      problem('service-duplicate', 'a', { service: 'qmcp.a.Say' }),
      problem('tool-name', 'b', { tool: 'X' }),
    ]);
    expect(text.split('\n')).toEqual([
      'service-duplicate: plugin "a": it declares the service qmcp.a.Say twice. Declare it once.',
      expect.stringMatching(/^tool-name: plugin "b": its tool "X" has a name/),
    ]);
  });

  test('a name in a report cannot move the cursor, hide text or change its direction', () => {
    expect(printable('a\x1b[2Jb\u202ec\u200bd\re\nf')).toBe('a\\u{1b}[2Jb\\u{202e}c\\u{200b}d\\u{d}e\nf');
    const { message } = problem('tool-behaviour', 'a', { tool: 'x\x1b]0;' });
    expect(message).not.toContain('\x1b');
  });
});
