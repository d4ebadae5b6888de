import { expect, test } from 'vitest';
import { REFUSALS, type RefusalCode, Refused } from '../api/index.js';
import { refusalOf } from './results.js';

const textOf = (code: RefusalCode, served: readonly string[]): string => {
  const [block] = refusalOf(new Refused(code), new Set(served)).content;
  return (block as { text: string }).text;
};

test('a refusal names a tool only if the client has it, and is a sentence either way', () => {
  expect(textOf('not-found', ['qube_list'])).toBe(`not-found: ${REFUSALS['not-found']}`);
  expect(textOf('not-found', ['qube_list'])).toContain('qube_list');
  expect(textOf('not-found', [])).toBe(
    'not-found: There is no such qube here, or this is not available for it.',
  );
  for (const code of Object.keys(REFUSALS) as RefusalCode[]) {
    const text = textOf(code, []);
    expect(text).toMatch(/^[a-z-]+: [A-Z].*\.$/s);
    expect(text).not.toMatch(/[a-z]_[a-z]/);
  }
});
