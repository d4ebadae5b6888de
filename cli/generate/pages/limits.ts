import type { Spec } from '../spec.js';
import { code, HEADING, tableOf } from './markdown.js';

const GROUPS: Readonly<Record<string, string>> = {
  calls: 'Calls',
  steps: 'Steps',
  unfinished: 'Unfinished work',
  admin_api: 'The Admin API',
  audit: 'The audit log',
  policy: 'The policy',
  report: 'Reports of the audit log',
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
    return `## ${GROUPS[group] ?? group}\n\n${tableOf(['limit', 'value', 'what it limits'], table)}\n`;
  });
  return `${HEADING('Limits', 'dom0/spec/limits.toml')}
These limits apply to every world and every qube. The budget of a single world is set in \`qmcp.toml\` and is not listed here.

${sections.join('\n')}`;
}
