import { INVARIANTS, type Service } from '../../../core/api/index.js';
import { BUILT_IN } from '../../../plugins/index.js';
import { enforcingLines } from '../../shipped/enforcing-lines.js';
import { readCitations } from '../citations.js';
import { code, HEADING } from './markdown.js';

/** docs/reference/invariants.md. `root` is the root of the repository. */
export function invariantsPage(root: string): string {
  const lines = enforcingLines(root);
  const tests = readCitations(root);
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
    // Name functions, not lines: line numbers change with every edit of a file. qmcp explain prints the lines.
    const places = [
      ...new Set(
        (lines.get(id) ?? []).map(({ file, within }) => `[${code(`${file}: ${within}`)}](../../${file})`),
      ),
    ];
    return `## ${id}

${statement}

- Enforced by ${enforcedBy === 'dom0' ? 'dom0’s kernel' : 'the qrexec policy'}: ${places.join(', ') || 'no single line: either no contract can express a violation, or several checks together enforce it'}
- Shown by ${(tests[id] ?? []).map(({ file, test }) => `[${code(file.replace(/^test\//, ''))}](../../${file}) “${test}”`).join('; ')}
- Declared by ${tools.map((name) => `[${code(name)}](tools.md#${name})`).join(' ') || 'no tool; it applies to all of them'}
`;
  });
  return `${HEADING('Invariants', 'dom0/spec/invariants.toml, the enforcingLines in dom0/ and test/cites.yaml')}
Invariants hold whatever an agent does and whatever contracts are installed. Each has an executable check of the host
([\`model/invariants.ts\`](../../model/invariants.ts)), which the tests run after every call of complete sessions.
\`qmcp explain ID\` prints the exact lines. \`npm run teeth\` removes each line in turn and shows which test then fails.

${sections.join('\n')}`;
}
