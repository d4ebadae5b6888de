import type { Plugin } from '../api/index.js';
import { type Problem, problem } from './problems.js';

/** The most characters of one text that a model or a person reads, by key; other keys have `LIMIT`. */
const LIMITS: Readonly<Record<string, number>> = { title: 100 };
const LIMIT = 1000;
/** The most characters of all texts of one plugin. */
const TOTAL_LIMIT = 100_000;

/**
 * Characters that a model reads and a reviewer does not see: controls, formats (bidi, zero width, tags), private and
 * unassigned characters, blanks other than the space, and letters without a shape.
 */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u;

/** What is wrong with a text, as the end of a sentence that starts with its place; undefined if nothing is. */
export function textFault(text: string, limit = LIMIT): string | undefined {
  const unseen = INVISIBLE.exec(text.replaceAll('\n', ' '))?.[0];
  if (unseen !== undefined) {
    const point = unseen.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    return `contains the invisible character U+${point}`;
  }
  const { length } = [...text];
  return length > limit ? `has ${length} characters; the limit is ${limit}` : undefined;
}

/** Checks every text of a plugin that a model or a person reads: titles, descriptions, and everything in its schemas. */
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
      // Names have their own rules. Services are not shown, and the statements of invariants come from this package.
      const { name, uses: _, upholds: __, ...shown } = thing as Record<string, unknown>;
      check(shown, `${kind} ${String(name)}`, '');
    }
  };
  check(plugin.title, 'its title', 'title');
  check(plugin.instructions, 'its instructions', '');
  checkAll('tool', plugin.tools);
  checkAll('resource', plugin.resources ?? []);
  checkAll('prompt', plugin.prompts ?? []);
  for (const service of plugin.services)
    if (service.kind === 'guest') check(service.problems, `service ${service.name}`, 'problem');
  if (all > TOTAL_LIMIT)
    problems.push(
      problem('text-unseen', plugin.id, {
        where: 'all its text together',
        fault: `has ${all} characters; the limit is ${TOTAL_LIMIT}`,
      }),
    );
  return problems;
}
