import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

const { candidates, pairs, passedIn, table, withTable } = await import(packageFile('scripts/versions.mjs'));

describe('the pairs of versions', () => {
  test.each([
    [
      ['20', '22', '24'],
      ['3.11', '3.12', '3.13'],
    ],
    [['20', '22', '24'], ['3.11']],
    [
      ['20', '24'],
      ['3.11', '3.11', '3.12', '3.13'],
    ],
  ])(
    'the pairs of versions have every Node of %j and every Python of %j, in rising order',
    (nodes, pythons) => {
      const made = pairs(nodes, pythons) as { node: string; python: string }[];
      expect([...new Set(made.map(({ node }) => node))]).toEqual([...new Set(nodes)]);
      expect([...new Set(made.map(({ python }) => python))]).toEqual([...new Set(pythons)]);
      expect(made[0]).toEqual({ node: nodes[0], python: pythons[0] });
      expect(made.at(-1)).toEqual({ node: nodes.at(-1), python: pythons.at(-1) });
    },
  );

  test('there are no pairs of versions without a Node or without a Python', () => {
    expect(pairs([], ['3.11'])).toEqual([]);
    expect(pairs(['20'], [])).toEqual([]);
  });
});

describe('the interpreters that are tried', () => {
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-versions-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const executable = (...path: string[]) => {
    const file = join(folder, ...path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '#!/bin/sh\n');
    chmodSync(file, 0o755);
    return file;
  };

  test('the interpreters in PATH are tried, then those of a version manager', () => {
    const known = executable('versions', '3.11.7', 'bin', 'python3');
    const beside = executable('versions', '3.12.1', 'bin', 'python3.12');
    const inPath = executable('bin', 'python3.12');
    const path = [join(folder, 'none'), join(folder, 'bin')].join(':');
    expect(candidates('3.12', path, known)).toEqual([inPath, beside]);
    expect(candidates('3.13', path, known)).toEqual([]);
  });
});

describe('the table of versions', () => {
  const pair = { node: { version: '20.18.1' }, python: { version: '3.11.2' } };
  const passed = ['install', 'npm start', 'test:unit', 'end to end'].map((step, at) => ({
    step,
    passed: at > 1 ? 7 : undefined,
  }));

  test('the table of versions has a row for each pair, and says what was absent and when it ran', () => {
    const made = table([{ ...pair, results: passed }], ['Python 3.13: neither here nor there'], '2030-01-31');
    expect(made.split('\n')).toEqual([
      '| Node    | Python | `install` | `npm start` | `test:unit` | end to end |',
      '| ------- | ------ | --------- | ----------- | ----------- | ---------- |',
      '| 20.18.1 | 3.11.2 | passed    | passed      | 7 passed    | 7 passed   |',
      '',
      expect.stringMatching(/^Run on 2030-01-31, .+\. Absent: Python 3\.13\.$/),
    ]);
  });

  test('the table of versions shows the step that failed, and that later steps did not run', () => {
    const results = [passed[0], { step: 'npm start', failure: 'FAILED with exit code 1' }];
    expect(table([{ ...pair, results }], [], '2030-01-31')).toContain(
      '| passed    | **failed**  | not run     | not run    |',
    );
  });

  test('the table of versions replaces the one in CONTRIBUTING.md, and nothing else there', () => {
    const text = (made: string) =>
      `before\n<!-- versions: written by \`npm run test:versions -- --write\` -->\n\n${made}\n\n<!-- /versions -->\nafter\n`;
    expect(withTable(text('old'), 'new')).toBe(text('new'));
    expect(() => withTable('no place for it', 'new')).toThrow('CONTRIBUTING.md has no place');
  });

  test('the passed tests of a step are counted in our words or in vitest’s', () => {
    expect(passedIn('…\n1127 passed, 0 failed\n')).toBe(1127);
    expect(passedIn('\u001b[2m      Tests \u001b[22m \u001b[1m\u001b[32m23 passed\u001b[39m (23)\n')).toBe(
      23,
    );
    expect(passedIn('hello\n')).toBeUndefined();
  });
});
