import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSALS } from '../../../core/api/generated/refusals.js';
import { OWN_REFUSALS } from '../../../core/api/index.js';
import { PROBLEMS } from '../../../core/boot/problems.js';
import { code, HEADING, tableOf } from './markdown.js';

/** docs/reference/errors.md. `root` is the root of the repository. */
export function errorsPage(root: string): string {
  const refusals = Object.entries({ ...REFUSALS, ...OWN_REFUSALS }).map(
    ([id, { means, agent, operator }]) => [code(id), means, agent, operator],
  );
  const problems = Object.keys(PROBLEMS).map((id) => [code(id), messageTemplate(id).replaceAll('<', '\\<')]);
  return `${HEADING('Errors', 'dom0/spec/refusals.toml, core/boot/problems.ts and cli/doctor/')}
## Refusals sent to agents

This list is closed. dom0 says every code but \`declined\`, \`unanswered\` and \`no-answer\`, which the server says about calls that dom0 did not hear of. A refusal reveals nothing more: a hidden qube and a missing qube get
the same answer. The result has \`isError\`, \`structuredContent.error.code\` and the sentence for the agent.

${tableOf(['code', 'meaning', 'message to the agent', 'advice for the operator'], refusals)}

## Plugin problems

These messages are for the person who runs the server. \`qmcp plugins\` shows them. With \`onRefusal: exit\`, the default, the server does not
start when a plugin has a problem, and prints all problems at once.

${tableOf(['code', 'message'], problems)}

## Findings of qmcp doctor

\`qmcp doctor\` reports the codes above and these, each with instructions to fix it.

${tableOf(['id', 'subject'], findings(root))}

## Exit codes

${tableOf(
  ['code', 'meaning'],
  [
    ['0', 'done'],
    ['1', 'refused, or a check failed'],
    ['2', 'the command line or the configuration is wrong; nothing was started'],
  ],
)}
`;
}

/** The message, with the names of its facts as placeholders. */
function messageTemplate(id: string): string {
  const facts: unknown = new Proxy(() => {}, {
    get: (_, name) => {
      // Some facts are joined as lists or truncated.
      const text: object = Object.assign(`‹${String(name)}›`, { join: () => text, slice: () => text });
      return text;
    },
  });
  return (PROBLEMS as unknown as Record<string, (facts: unknown) => string>)[id]!(facts);
}

/** Subjects that the source gives as a variable. */
const SUBJECTS: Readonly<Record<string, string>> = { name: 'a guest service', what: 'qrexec client' };

/** Every `wrong(id, subject, …)` in the source of doctor. */
function findings(root: string): string[][] {
  const rows = ['doctor', 'here', 'probe'].flatMap((name) => {
    const text = readFileSync(join(root, 'cli/doctor', `${name}.ts`), 'utf8');
    const direct = [...text.matchAll(/wrong\(\s*'([a-z-]+)',\s*'?([^,']+)'?,/g)].map(([, id, where]) => [
      id!,
      where!,
    ]);
    const catalog = [...text.matchAll(/^ {6}'([a-z-]+)',$/gm)].map(([, id]) => [id!, 'dom0’s catalog']);
    return name === 'here' ? [...direct, ...catalog] : direct;
  });
  const unique = new Map(rows.map(([id, where]) => [id!, where!]));
  return [...unique].map(([id, where]) => [code(id), SUBJECTS[where] ?? where]);
}
