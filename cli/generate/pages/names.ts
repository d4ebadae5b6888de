import {
  FEATURE,
  GAINS,
  NAMES,
  SERVICE,
  TAGS,
  TIER_NAMES,
  TIERS,
} from '../../../core/api/generated/names.js';
import { code, codes, HEADING, tableOf } from './markdown.js';

/** docs/reference/names.md. */
export function namesPage(): string {
  const tiers = TIERS.map((id) => [code(TIER_NAMES[id]), GAINS[id]]);
  const tags = Object.values(TAGS).map(({ pattern, words }) => [code(pattern), words]);
  return `${HEADING('Names', 'dom0/spec/names.toml')}
## Tiers

Each tier includes the ones before it.

${tableOf(['tier', 'what an agent may do'], tiers)}

## Tags

\`{world}\` is the name of a world, \`{tier}\` the name of a tier, \`{principal}\` the name of the qube that created it.

${tableOf(['tag', 'what it means for the qube that has it'], tags)}

## Closed lists

${tableOf(
  ['list', 'members'],
  [
    [
      'services of dom0 that every qube may call, because it needs them to boot',
      codes([...NAMES.boot_services, SERVICE.date]),
    ],
    ['properties that lead out of a world; new qubes have none of them', codes(NAMES.escape_hatches)],
    ['what a clone copies besides the disk', codes(NAMES.cloned)],
    ['device classes', codes(NAMES.device_classes)],
    ['labels', codes(NAMES.labels)],
    ['features of a qube that qmcp sets or reads', codes(Object.values(FEATURE))],
    ['power states in answers to agents', codes([...new Set(Object.values(NAMES.power_state))])],
    ['events that agents receive', codes([...new Set(Object.values(NAMES.event))])],
    ['placeholder for the name of a qube outside the world', code(NAMES.out_of_scope)],
  ],
)}
`;
}
