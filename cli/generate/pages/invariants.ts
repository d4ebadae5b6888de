import { INVARIANTS, type Service } from '../../../core/api/index.js';
import { BUILT_IN } from '../../../plugins/index.js';
import { marks } from '../../shipped/enforcing-lines.js';
import { cited } from '../citations.js';
import { code, HEADING } from './markdown.js';

/** docs/reference/invariants.md. `root` is the repository's. */
export function invariantsPage(root: string): string {
  const lines = marks(root);
  const tests = cited(root);
  const sections = Object.entries(INVARIANTS).map(([id, { statement, enforcedBy }]) => {
    const tools = BUILT_IN.flatMap(({ tools }) =>
      tools
        .filter(({ uses }) =>
          (Object.values(uses) as Service[]).some(({ invariants }) =>
            invariants.some((each) => each.id === id),
          ),
        )
        .map(({ name }) => name as string),
    );
    // Functions, not lines: a page that names lines is out of date with every change of a file. qmcp explain names them.
    const places = [
      ...new Set(
        (lines.get(id) ?? []).map(({ file, within }) => `[${code(`${file}: ${within}`)}](../../${file})`),
      ),
    ];
    return `## ${id}

${statement}

- Enforced by ${enforcedBy === 'dom0' ? 'dom0’s kernel' : 'the qrexec policy'}: ${places.join(', ') || 'no single line; contracts have no words to break it, or several checks make it up'}
- Shown by ${(tests[id] ?? []).map(({ file, test }) => `[${code(file.replace(/^test\//, ''))}](../../${file}) “${test}”`).join('; ')}
- Declared by ${tools.map((name) => `[${code(name)}](tools.md#${name})`).join(' ') || 'no tool; it holds of everything'}
`;
  });
  return `${HEADING('Invariants', 'dom0/spec/invariants.toml, the marks in dom0/ and test/cites.yaml')}
What holds whatever an agent does, and whatever contracts are installed. Each has an executable check of the host
([\`model/invariants.ts\`](../../model/invariants.ts)), which is made after every call of whole sessions in the tests.
\`qmcp explain ID\` names the very lines. \`npm run teeth\` takes each of them out in turn and shows which test dies of it.

${sections.join('\n')}`;
}
