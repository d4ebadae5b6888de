import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { INVARIANTS } from '../../core/api/index.js';
import { BUILT_IN } from '../../plugins/index.js';
import { enforcingLines } from '../shipped/enforcing-lines.js';
import { explanationOf } from './explain.js';

type Lines = { lines: { at: string; text: string }[]; tests: string[]; tools: string[]; statement: string };
const root = new URL('../../', import.meta.url);

describe('qmcp explain TOOL', () => {
  test.each(BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string)))(
    'qmcp explain %s shows its contracts, their steps and its invariants',
    (name) => {
      const explanation = explanationOf(name, BUILT_IN) as unknown as {
        services: { service: string; contract: string; steps: string[] }[];
        invariants: unknown[];
      };
      expect(explanation.services.length).toBeGreaterThan(0);
      for (const { contract, steps } of explanation.services) {
        expect(existsSync(new URL(contract, root))).toBe(true);
        expect(steps.join()).not.toContain('does not know');
        expect(steps.length).toBeGreaterThan(0);
      }
      expect(explanation.invariants.length).toBeGreaterThan(0);
    },
  );
});

describe('qmcp explain INVARIANT', () => {
  test.each(Object.keys(INVARIANTS))('qmcp explain %s shows tests, and lines of dom0 that exist', (id) => {
    const { lines, tests, statement } = explanationOf(id, BUILT_IN) as unknown as Lines;
    expect(statement).not.toBe('');
    expect(tests.length).toBeGreaterThan(0);
    for (const { at, text } of lines) {
      const [file, line] = at.split(':');
      expect(readFileSync(new URL(file!, root), 'utf8').split('\n')[Number(line) - 1]).toContain(text);
    }
  });

  test('every line of dom0 marked with an invariant names a known one, and most invariants have such a line', () => {
    const marked = [...enforcingLines().keys()];
    expect(Object.keys(INVARIANTS)).toEqual(expect.arrayContaining(marked));
    expect(marked.length).toBeGreaterThan(15);
  });
});

test('a name that is neither a tool nor an invariant has no explanation', () => {
  expect(explanationOf('qube_fly', BUILT_IN)).toBeUndefined();
});
