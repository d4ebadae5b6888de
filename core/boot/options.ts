import { frozen } from '../api/frozen.js';
import type { Plugin, RunContext } from '../api/index.js';
import type { Static, TSchema } from '../vendor/typebox.js';
import { Compile } from '../vendor/typebox.js';
import { type Problem, problem, whyOf } from './problems.js';

/** What a configuration gives one plugin, held to the plugin's own schema; without any, what the schema says of nothing. */
export function optionProblems({ id, options: schema }: Plugin, given: unknown = {}): Problem[] {
  if (schema === undefined) return [];
  try {
    const shape = Compile(schema);
    if (shape.Check(given)) return [];
    const faults = shape
      .Errors(given)[1]
      .filter(({ keyword }) => keyword !== 'boolean')
      .map(({ instancePath, message }) => `${instancePath.slice(1).replaceAll('/', '.')} ${message}`.trim());
    return [problem('plugin-options', id, { plugin: id, faults })];
  } catch (error) {
    return [problem('plugin-unreadable', id, { why: whyOf(error) })];
  }
}

/** How a tool of that plugin reads them: by the schema its plugin was defined with, which gives them their types. */
export function optionsOf(
  { id, options: own }: Pick<Plugin, 'id' | 'options'>,
  given: unknown = {},
): RunContext['options'] {
  const values = frozen(structuredClone(given));
  return <S extends TSchema>(schema: S): Static<S> => {
    if (schema !== own) throw new TypeError(`the plugin ${id} was not defined with these options`);
    return values as Static<S>;
  };
}
