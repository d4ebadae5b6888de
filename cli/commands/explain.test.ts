import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { INVARIANTS } from '../../core/api/index.js';
import { BUILT_IN } from '../../plugins/index.js';
import { marks } from '../shipped/enforcing-lines.js';
import { explained } from './explain.js';

type Lines = { lines: { at: string; text: string }[]; tests: string[]; tools: string[]; statement: string };
const root = new URL('../../', import.meta.url);

describe('every tool', () => {
  test.each(BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string)))(
    '%s is explained down to its contracts, and what bounds it',
    (name) => {
      const said = explained(name, BUILT_IN) as unknown as {
        services: { service: string; contract: string; steps: string[] }[];
        invariants: unknown[];
      };
      expect(said.services.length).toBeGreaterThan(0);
      for (const { contract, steps } of said.services) {
        expect(existsSync(new URL(contract, root))).toBe(true);
        expect(steps.join()).not.toContain('does not know');
        expect(steps.length).toBeGreaterThan(0);
      }
      expect(said.invariants.length).toBeGreaterThan(0);
    },
  );
});

describe('every invariant', () => {
  test.each(Object.keys(INVARIANTS))('%s is explained with tests, and with lines that are there', (id) => {
    const { lines, tests, statement } = explained(id, BUILT_IN) as unknown as Lines;
    expect(statement).not.toBe('');
    expect(tests.length).toBeGreaterThan(0);
    for (const { at, text } of lines) {
      const [file, line] = at.split(':');
      expect(readFileSync(new URL(file!, root), 'utf8').split('\n')[Number(line) - 1]).toContain(text);
    }
  });

  test('that has a marked line in dom0 is one of these, and most have one', () => {
    const marked = [...marks().keys()];
    expect(Object.keys(INVARIANTS)).toEqual(expect.arrayContaining(marked));
    expect(marked.length).toBeGreaterThan(15);
  });
});

test('a name of nothing is explained by nothing', () => {
  expect(explained('qube_fly', BUILT_IN)).toBeUndefined();
});
