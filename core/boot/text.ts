import type { Plugin } from '../api/index.js';
import { type Problem, problem } from './problems.js';

/** Characters of a text that a client's model or a person is shown. */
const LIMITS: Readonly<Record<string, number>> = { title: 100 };
const LIMIT = 1000;
/** Characters of everything one plugin says. */
const TOTAL_LIMIT = 100_000;

/**
 * Controls, formats (bidi, zero width, tags), private and unassigned characters, blanks that are no space, and letters
 * without a shape: what a reviewer does not see and a model reads.
 */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u;

/** Why a text may not be shown, as the end of a sentence that starts with what it is; undefined when it may. */
export function textFault(text: string, limit = LIMIT): string | undefined {
  const unseen = INVISIBLE.exec(text.replaceAll('\n', ' '))?.[0];
  if (unseen !== undefined) {
    const point = unseen.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    return `has U+${point}, which nobody sees`;
  }
  const { length } = [...text];
  return length > limit ? `has ${length} characters, and at most ${limit} are shown` : undefined;
}

/** Every text of a plugin that somebody is shown: names, titles, descriptions, and all there is in its schemas. */
export function textProblems(plugin: Plugin): Problem[] {
  const problems: Problem[] = [];
  let all = 0;
  const seen = new Set<unknown>();
  const check = (value: unknown, where: string, key: string): void => {
    if (typeof value === 'object' && seen.has(value)) return;
    seen.add(value);
    if (typeof value === 'string') {
      all += value.length;
      const fault = textFault(value, LIMITS[key]);
      if (fault !== undefined) problems.push(problem('text-unseen', plugin.id, { where, fault }));
    } else if (Array.isArray(value)) {
      for (const [index, part] of value.entries()) check(part, `${where}[${index}]`, key);
    } else if (typeof value === 'object' && value !== null)
      for (const [name, part] of Object.entries(value)) {
        const fault = textFault(name, LIMITS.title);
        if (fault !== undefined)
          problems.push(problem('text-unseen', plugin.id, { where: `a key of ${where}`, fault }));
        check(part, `${where}.${name}`, name);
      }
  };
  const checkAll = (kind: string, things: readonly object[]) => {
    for (const thing of things) {
      // Names have rules of their own. What it uses is not shown; what it upholds is dom0's to say.
      const { name, uses: _, upholds: __, ...shown } = thing as Record<string, unknown>;
      check(shown, `${kind} ${String(name)}`, '');
    }
  };
  check(plugin.title, 'its title', 'title');
  checkAll('tool', plugin.tools);
  checkAll('resource', plugin.resources ?? []);
  checkAll('prompt', plugin.prompts ?? []);
  for (const service of plugin.services)
    if (service.kind === 'guest') check(service.problems, `service ${service.name}`, 'problem');
  if (all > TOTAL_LIMIT)
    problems.push(
      problem('text-unseen', plugin.id, {
        where: 'all it says',
        fault: `has ${all} characters, and at most ${TOTAL_LIMIT} are shown`,
      }),
    );
  return problems;
}
