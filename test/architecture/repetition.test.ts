import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Product code. Tests may repeat their setup; generated files repeat what they are generated from. */
const PRODUCT = ['core', 'plugins', 'model', 'sim', 'testing', 'cli', 'bench', 'scripts', 'dom0', 'guest'];
/** Sources by their suffix, and dom0's two commands, which have none. */
const SOURCE = /\.(ts|mjs|js|py)$|\/qmcp-(admin|dom0)$/;
const NO_PRODUCT = /\.test\.ts$|(^|\/)(tests|generated|templates|node_modules|dist|__pycache__)\//;

/** The longest run that may stand twice. A longer one should be a function. */
const MOST = 12;

interface Line {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

/** Lines without blank ones, comments, imports and lone brackets; white space is one space. */
function linesOf(source: string): Line[] {
  // Keep the line ends, so that line numbers stay right.
  const blank = (text: string) => text.replace(/[^\n]/g, '');
  return source
    .replace(/^\s*\/\*[\s\S]*?\*\//gm, blank)
    .replace(/^(import|export) [^;]*? from '[^']+';$/gm, blank)
    .replace(/^(from \S+ )?import (\([^)]*\)|.*)$/gm, blank)
    .split('\n')
    .map((text, index) => ({ number: index + 1, text: text.trim().replace(/\s+/g, ' ') }))
    .filter(({ text }) => /\w/.test(text) && !/^(\/\/|#)/.test(text));
}

/** Every run of more than `most` lines that stands in two places, as `file:first-last` of each. */
function repetitions(files: ReadonlyMap<string, string>, most = MOST): string[] {
  const seen = new Map<string, { file: string; at: number }>();
  const found: string[] = [];
  const lines = new Map([...files].map(([file, source]) => [file, linesOf(source)]));
  for (const [file, mine] of lines) {
    let at = 0;
    while (at + most < mine.length) {
      const window = (of: readonly Line[], from: number) =>
        of
          .slice(from, from + most + 1)
          .map(({ text }) => text)
          .join('\n');
      const first = seen.get(window(mine, at));
      if (first === undefined) {
        seen.set(window(mine, at), { file, at });
        at += 1;
        continue;
      }
      const other = lines.get(first.file)!;
      let length = most + 1;
      while (mine[at + length] !== undefined && mine[at + length]?.text === other[first.at + length]?.text)
        length += 1;
      const place = (name: string, of: readonly Line[], from: number) =>
        `${name}:${of[from]!.number}-${of[from + length - 1]!.number}`;
      found.push(`${place(first.file, other, first.at)} and ${place(file, mine, at)}`);
      at += length;
    }
  }
  return found;
}

function product(): Map<string, string> {
  const paths = PRODUCT.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
  );
  return new Map(
    paths
      .filter((path) => SOURCE.test(path) && !NO_PRODUCT.test(path))
      .sort()
      .map((path) => [path, readFileSync(join(ROOT, path), 'utf8')]),
  );
}

describe('repeated code', () => {
  test('no run of more than 12 lines stands twice in the product, in TypeScript or in Python', () => {
    const files = product();
    expect([...files.keys()].filter((path) => path.endsWith('.ts')).length).toBeGreaterThan(250);
    expect([...files.keys()].filter((path) => path.endsWith('.py')).length).toBeGreaterThan(40);
    expect(files.has('dom0/operator/qmcp-admin') && files.has('dom0/packaging/qmcp-dom0')).toBe(true);
    expect(repetitions(files)).toEqual([]);
  });

  const run = Array.from({ length: 13 }, (_, index) => `  do_something(${index});`);

  test('a repetition is found in one file or in two, whatever its indentation, comments and blank lines', () => {
    const spread = run.map((line) => `\n    // why\n    ${line.trim()}`);
    expect(repetitions(new Map([['a.ts', [...run, 'between();', ...spread].join('\n')]]))).toEqual([
      'a.ts:1-13 and a.ts:17-53',
    ]);
    const files = new Map([
      ['a.ts', `first();\n${run.join('\n')}`],
      ['b.py', `def b():\n${run.join('\n')}\nlast()`],
    ]);
    expect(repetitions(files)).toEqual(['a.ts:2-14 and b.py:2-14']);
  });

  test('12 equal lines, and equal imports, are not a repetition', () => {
    const files = (lines: readonly string[]) =>
      new Map([
        ['a.ts', `first();\n${lines.join('\n')}`],
        ['b.ts', `other();\n${lines.join('\n')}`],
      ]);
    expect(repetitions(files(run.slice(1)))).toEqual([]);
    const names = run.map((_, index) => `  name${index},`).join('\n');
    expect(repetitions(files([`import {\n${names}\n} from './x.js';`]))).toEqual([]);
  });
});
