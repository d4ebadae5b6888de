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

Each includes the ones before it.

${tableOf(['tier', 'what an agent may do'], tiers)}

## Tags

\`{world}\` is the name of a world, \`{tier}\` of a tier, \`{principal}\` of the qube that made it.

${tableOf(['tag', 'what it says of the qube that has it'], tags)}

## Closed lists

${tableOf(
  ['list', 'what is in it'],
  [
    ['what every qube may ask of dom0, to boot', codes([...NAMES.boot_services, SERVICE.date])],
    ['properties that lead out of a world; children have none', codes(NAMES.escape_hatches)],
    ['what a clone takes over besides its disk', codes(NAMES.cloned)],
    ['device classes', codes(NAMES.device_classes)],
    ['labels', codes(NAMES.labels)],
    ['features of a qube that are qmcp’s, or that it goes by', codes(Object.values(FEATURE))],
    ['power states, as an agent reads them', codes([...new Set(Object.values(NAMES.power_state))])],
    ['events, as an agent hears them', codes([...new Set(Object.values(NAMES.event))])],
    ['instead of the name of a qube outside the world', code(NAMES.out_of_scope)],
  ],
)}
`;
}
