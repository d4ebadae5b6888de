import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { INVARIANTS } from '../../core/api/index.js';

export interface Citation {
  /** From the root of the repository. */
  readonly file: string;
  /** The beginning of the test's name. */
  readonly test: string;
}

/** Which tests show which invariant, by its id. Throws on a test that is not there and an invariant without one. */
export function cited(root: string): Record<string, Citation[]> {
  const table = parse(readFileSync(join(root, 'test/cites.yaml'), 'utf8')) as Record<
    string,
    Record<string, string>[]
  >;
  const ids = Object.keys(INVARIANTS);
  const wrong = [
    ...ids.filter((id) => !Object.hasOwn(table, id)).map((id) => `${id} has no test`),
    ...Object.keys(table)
      .filter((id) => !ids.includes(id))
      .map((id) => `${id} is no invariant`),
  ];
  const found = Object.fromEntries(
    ids.map((id) => [
      id,
      (table[id] ?? []).flatMap((entry) =>
        Object.entries(entry).map(([name, test]) => {
          const file = `test/${name.includes('/') ? name : `security/${name}`}.test.ts`;
          const named = readFileSync(join(root, file), 'utf8')
            .split('\n')
            .some((line) => /^\s*(describe|it|test)\b|^\s*['"`]/.test(line) && line.includes(test));
          if (!named) wrong.push(`${id}: ${file} has no test called ${JSON.stringify(test)}`);
          return { file, test };
        }),
      ),
    ]),
  );
  if (wrong.length > 0) throw new Error(`test/cites.yaml:\n  ${wrong.join('\n  ')}`);
  return found;
}
