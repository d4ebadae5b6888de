/**
 * Requirements are data with ids, and everything about them cites the id: lines of dom0 as `# INVARIANT id`, tests as `ATTACK
 * number`. Nothing may be required without a citation, or cited without being required.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { packageFile } from '../../sim/root.js';

const read = (path: string) => readFileSync(packageFile(path), 'utf8');
const requirements = read('docs/invariants.md');
const required = [...requirements.matchAll(/^\| ([a-z]+\.[a-z-]+) +\|/gm)].map(([, id]) => id!);
const attacks = [...requirements.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));

/** Citations as `[id, file]`, by a pattern whose first group is the id. */
function citations(folders: readonly string[], ends: RegExp, pattern: RegExp): [string, string][] {
  return folders.flatMap((folder) =>
    readdirSync(packageFile(folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => ends.test(file) && !file.includes('node_modules') && !file.includes('__pycache__'))
      .flatMap((file) =>
        [...read(join(folder, file)).matchAll(pattern)].map(([, id]): [string, string] => [
          id!,
          join(folder, file),
        ]),
      ),
  );
}

const sorted = (ids: Iterable<string>) => [...new Set(ids)].sort();

describe('every invariant', () => {
  it('every invariant of the documentation is in dom0’s spec, and every one there is documented', () => {
    const invariants = parse(read('dom0/spec/invariants.toml'));
    expect(required.length).toBeGreaterThan(20);
    expect(Object.keys(invariants).sort()).toEqual(sorted(required));
  });

  it('every invariant is enforced by a marked line of dom0, and every marked line names an invariant', () => {
    const marked = citations(
      ['dom0/qmcpd', 'dom0/settings', 'dom0/operator', 'dom0/policy', 'dom0/spec'],
      /\.(py|toml)$/,
      /# INVARIANT ([a-z]+\.[a-z-]+)/g,
    );
    expect(sorted(marked.map(([id]) => id))).toEqual(sorted(required));
  });

  // `npm run teeth` removes each such line of dom0 and runs the tests that cite its id.
  it('every invariant is cited by a test that fails without its line', () => {
    const citing = citations(
      ['test/security', 'test/operator', 'dom0/tests'],
      /\.test\.ts$|test_.*\.py$/,
      /INVARIANT ([a-z]+\.[a-z-]+)/g,
    );
    expect(sorted(citing.map(([id]) => id))).toEqual(sorted(required));
  });
});

// ATTACK 28
describe('every attack', () => {
  const cited = citations(['test', 'core', 'dom0/tests'], /\.test\.ts$|test_.*\.py$/, /ATTACK (\d+)/g);

  it('every attack is made by a test that cites it, and no test cites an attack that is not listed', () => {
    expect(attacks).toEqual(attacks.map((_, at) => at + 1));
    expect(sorted(cited.map(([id]) => id))).toEqual(sorted(attacks.map(String)));
  });

  it('every attack is in the table of test/security/README.md with the files that make it', () => {
    const rows = attacks.map((attack) => {
      const files = sorted(cited.filter(([id]) => Number(id) === attack).map(([, file]) => `\`${file}\``));
      return `| ${attack} | ${files.join(', ')} |`;
    });
    const lines = read('test/security/README.md').split('\n');
    const shown = lines.map((line) => line.replace(/ +/g, ' ').trim()).filter((line) => /^\| \d/.test(line));
    expect(shown).toEqual(rows);
  });
});
