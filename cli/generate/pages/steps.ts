import { TIER_NAMES, TIERS } from '../../../core/api/generated/names.js';
import { STEP_DESCRIPTIONS, type StepDescription } from '../../shipped/steps.js';
import { code, codes, HEADING, tableOf } from './markdown.js';

/** docs/reference/contract-steps.md. */
export function stepsPage(): string {
  const all = Object.entries(STEP_DESCRIPTIONS);
  return `${HEADING('The steps of a contract', 'dom0/spec/steps.toml')}
A contract is a list of these steps and contains nothing else. To add a step or to extend one is a reviewed change to dom0. In TypeScript,
each step has a builder of the same name: \`step.power({ qube: '$target', to: 'running' })\`.

${tableOf(
  ['step', 'what it does', 'changes the host'],
  all.map(([name, { words, reads_only }]) => [`[${code(name)}](#${name})`, words, reads_only ? 'no' : 'yes']),
)}

${all.map(([name, step]) => section(name, step)).join('\n')}`;
}

function section(name: string, { words, arguments: parameters, methods, tier }: StepDescription): string {
  const rows = Object.entries(parameters).map(([key, kind]) => [
    code(key.replace('?', '')),
    key.endsWith('?') ? 'optional' : '',
    typeof kind === 'string' ? kindOf(kind) : `one of ${codes(kind)}, fixed in the contract`,
  ]);
  return `## ${name}

It ${words}.${tier !== TIER_NAMES[TIERS[0]] ? ` Its qubes must have at least the tier ${code(tier)}, whatever the contract says.` : ''}

${rows.length === 0 ? 'It has no arguments.' : tableOf(['argument', '', 'value'], rows)}

${methods.length === 0 ? 'It calls no Admin API methods.' : `It may call these Admin API methods: ${methods.map(code).join(', ')}.`}
`;
}

function kindOf(kind: string): string {
  const words: Readonly<Record<string, string>> = {
    new: 'the name of the qube that the call creates',
    qube: 'a qube of the world',
    source: 'a qube of the world that is only read',
    removed: 'a removed qube of the world',
  };
  return words[kind] ?? `a parameter of type ${code(kind)}`;
}
