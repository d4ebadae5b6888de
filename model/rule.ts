import type { Rule } from '../core/api/index.js';

/** The rule in a firewall line that accepts; undefined for any other line. */
export function ruleOf(line: string): Rule | undefined {
  const words = new Map(line.split(' ').map((word) => word.split('=', 2) as [string, string]));
  if (words.get('action') !== 'accept') return undefined;
  const to =
    words.get('dst4') ?? words.get('dst6') ?? words.get('dsthost') ?? words.get('specialtarget') ?? '*';
  const [low, high] = words.get('dstports')?.split('-') ?? [];
  const protocol = words.get('proto') as Rule['protocol'];
  const ports = low === undefined ? undefined : high === undefined || low === high ? low : `${low}-${high}`;
  return { to, ...(protocol && { protocol }), ...(ports !== undefined && { ports }) };
}
