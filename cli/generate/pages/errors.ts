import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REFUSALS } from '../../../core/api/generated/refusals.js';
import { PROBLEMS } from '../../../core/boot/problems.js';
import { code, HEADING, tableOf } from './markdown.js';

/** docs/reference/errors.md. `root` is the repository's. */
export function errorsPage(root: string): string {
  const refusals = Object.entries(REFUSALS).map(([id, { means, agent, operator }]) => [
    code(id),
    means,
    agent,
    operator,
  ]);
  const problems = Object.keys(PROBLEMS).map((id) => [code(id), told(id).replaceAll('<', '\\<')]);
  return `${HEADING('Errors', 'dom0/spec/refusals.toml, core/boot/problems.ts and cli/doctor/')}
## What an agent is told

Closed, the same in dom0 and here, and never more than this: a qube that is hidden and one that does not exist are the same answer.
A result carries \`isError\`, \`structuredContent.error.code\` and the sentence.

${tableOf(['code', 'when', 'what the agent is told', 'what the operator can look at'], refusals)}

## Why a plugin is not loaded

For the person who runs the server. \`qmcp plugins\` shows them; with \`onRefusal: exit\`, the default, any of them keeps the server from
starting, and all of them are said at once.

${tableOf(['code', 'as it is said'], problems)}

## What qmcp doctor finds

Besides the codes above. Each comes with what to do about it.

${tableOf(['id', 'where'], findings(root))}

## Exit codes

${tableOf(
  ['code', 'meaning'],
  [
    ['0', 'done'],
    ['1', 'refused, or something is wrong'],
    ['2', 'the command line or the configuration is wrong: nothing was started'],
  ],
)}
`;
}

/** The message, with the names of its facts where the facts go. */
function told(id: string): string {
  const facts: unknown = new Proxy(() => {}, {
    get: (_, name) => {
      // Some facts are lists, or are cut short.
      const text: object = Object.assign(`‹${String(name)}›`, { join: () => text, slice: () => text });
      return text;
    },
  });
  return (PROBLEMS as unknown as Record<string, (facts: unknown) => string>)[id]!(facts);
}

/** Where it is said of something that has a name of its own. */
const WHERE: Readonly<Record<string, string>> = { name: 'a guest service', what: 'qrexec client' };

/** Every `wrong(id, where, …)` there is. */
function findings(root: string): string[][] {
  const found = ['doctor', 'here', 'probe'].flatMap((name) => {
    const text = readFileSync(join(root, 'cli/doctor', `${name}.ts`), 'utf8');
    const said = [...text.matchAll(/wrong\(\s*'([a-z-]+)',\s*'?([^,']+)'?,/g)].map(([, id, where]) => [
      id!,
      where!,
    ]);
    const catalog = [...text.matchAll(/^ {6}'([a-z-]+)',$/gm)].map(([, id]) => [id!, 'dom0’s catalog']);
    return name === 'here' ? [...said, ...catalog] : said;
  });
  const unique = new Map(found.map(([id, where]) => [id!, where!]));
  return [...unique].map(([id, where]) => [code(id), WHERE[where] ?? where]);
}
