import type { Spec } from '../spec.js';
import { code, HEADING, tableOf } from './markdown.js';

/** docs/reference/features.md. */
export function featuresPage({ features }: Spec): string {
  const rows = (table: Readonly<Record<string, string>>) =>
    Object.entries(table).map(([name, words]) => [code(name), words]);
  return `${HEADING('Features', 'dom0/spec/features.toml')}
An agent at the tier \`full\` can set the features that \`features\` in \`qmcp.toml\` lists. The list can hold these, and no others:

${tableOf(
  ['feature', 'what it is'],
  [
    [code('x-NAME'), 'a feature of your own: Qubes OS gives such names no meaning'],
    [
      code('service.x-NAME'),
      'a service of your own, which programs in the qube read from `/run/qubes-service/x-NAME`',
    ],
    ...rows(features.acts_inside),
  ],
)}

## Features that act outside the qube

No list can hold these, because qubesd or another part of the host does something when they are set. A name that ends in \`*\` stands for
every feature that starts so. A feature that is on neither list is refused too.

${tableOf(['feature', 'what the host does'], rows(features.acts_outside))}
`;
}
