import type { Spec } from '../spec.js';
import { code, HEADING, tableOf } from './markdown.js';

const GROUPS: Readonly<Record<string, string>> = {
  calls: 'A call',
  steps: 'What a step does',
  unfinished: 'What was not finished',
  admin_api: 'The Admin API',
  audit: 'The audit log',
  policy: 'The policy',
  report: 'A report of the audit log',
  guest: 'Services in a qube',
};

/** docs/reference/limits.md. */
export function limitsPage({ limits }: Spec): string {
  const sections = Object.entries(limits).map(([group, rows]) => {
    const table = Object.entries(rows).map(([name, { is, words }]) => [
      code(name),
      is.toLocaleString('en'),
      words,
    ]);
    return `## ${GROUPS[group] ?? group}\n\n${tableOf(['limit', 'is', 'what it bounds'], table)}\n`;
  });
  return `${HEADING('Limits', 'dom0/spec/limits.toml')}
Every number that bounds something, on whatever world or qube. What one world may use is in its \`qmcp.toml\`, and none of it is here.

${sections.join('\n')}`;
}
