import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INVARIANTS } from '../../../core/api/index.js';
import { tableOf } from './markdown.js';

const BEGIN = '<!-- Generated from dom0/spec/invariants.toml by `npm run generate`: change that. -->';
const END = '<!-- To here. -->';

/** docs/invariants.md: the table is generated from the spec; the rest is written by hand. */
export function statementsPage(root: string): string {
  const [before, rest = ''] = readFileSync(join(root, 'docs/invariants.md'), 'utf8').split(BEGIN);
  const [, after] = rest.split(END);
  if (after === undefined) throw new Error(`docs/invariants.md: expected a table between\n${BEGIN}\n${END}`);
  const rows = Object.entries(INVARIANTS).map(([id, { statement }]) => [id, statement]);
  return `${before}${BEGIN}\n\n${tableOf(['id', 'statement'], rows)}\n\n${END}${after}`;
}
