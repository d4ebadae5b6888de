import { TIER_NAMES, TIERS } from '../../../core/api/generated/names.js';
import { VERBS, type Verb } from '../../shipped/steps.js';
import { code, codes, HEADING, tableOf } from './markdown.js';

/** docs/reference/contract-steps.md. */
export function stepsPage(): string {
  const all = Object.entries(VERBS);
  return `${HEADING('The steps of a contract', 'dom0/spec/steps.toml')}
A contract is a list of these, and nothing else can be in one. A new verb, or a wider one, is a reviewed change to dom0. In TypeScript
each is a builder of that name: \`step.power({ qube: '$target', to: 'running' })\`.

${tableOf(
  ['step', 'what it does', 'changes the host'],
  all.map(([name, { words, reads_only }]) => [`[${code(name)}](#${name})`, words, reads_only ? 'no' : 'yes']),
)}

${all.map(([name, verb]) => section(name, verb)).join('\n')}`;
}

function section(name: string, { words, arguments: taken, methods, tier }: Verb): string {
  const rows = Object.entries(taken).map(([key, kind]) => [
    code(key.replace('?', '')),
    key.endsWith('?') ? 'may be left out' : '',
    typeof kind === 'string' ? kindOf(kind) : `one of ${codes(kind)}, fixed in the contract`,
  ]);
  return `## ${name}

It ${words}.${tier !== TIER_NAMES[TIERS[0]] ? ` Its qubes must be at tier ${code(tier)} at least, whatever the contract says.` : ''}

${rows.length === 0 ? 'It takes nothing.' : tableOf(['argument', '', 'what it is'], rows)}

Of the Admin API it may use ${methods.length === 0 ? 'nothing' : methods.map(code).join(', ')}.
`;
}

function kindOf(kind: string): string {
  const words: Readonly<Record<string, string>> = {
    new: 'a name the call gives to what it makes',
    qube: 'a qube of the world',
    source: 'a qube of the world that is only read from',
    removed: 'a qube the world removed',
  };
  return words[kind] ?? `a parameter of type ${code(kind)}`;
}
