import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { INVARIANTS } from '../../core/api/index.js';

export interface Citation {
  /** Relative to the root of the repository. */
  readonly file: string;
  /** The beginning of the test's name. */
  readonly test: string;
}

/** The tests that cite each invariant, by id. Throws when a cited test does not exist or an invariant has no test. */
export function readCitations(root: string): Record<string, Citation[]> {
  const table = parse(readFileSync(join(root, 'test/cites.yaml'), 'utf8')) as Record<
    string,
    Record<string, string>[]
  >;
  const ids = Object.keys(INVARIANTS);
  const faults = [
    ...ids.filter((id) => !Object.hasOwn(table, id)).map((id) => `${id} has no test`),
    ...Object.keys(table)
      .filter((id) => !ids.includes(id))
      .map((id) => `${id} is not an invariant`),
  ];
  const citations = Object.fromEntries(
    ids.map((id) => [
      id,
      (table[id] ?? []).flatMap((entry) =>
        Object.entries(entry).map(([name, test]) => {
          const file = `test/${name.includes('/') ? name : `security/${name}`}.test.ts`;
          const exists = readFileSync(join(root, file), 'utf8')
            .split('\n')
            .some((line) => /^\s*(describe|it|test)\b|^\s*['"`]/.test(line) && line.includes(test));
          if (!exists) faults.push(`${id}: ${file} has no test called ${JSON.stringify(test)}`);
          return { file, test };
        }),
      ),
    ]),
  );
  if (faults.length > 0) throw new Error(`test/cites.yaml:\n  ${faults.join('\n  ')}`);
  return citations;
}
