import type { Plugin } from '../api/index.js';
import { errorSummary } from '../serve/failure.js';
import { Compile } from '../vendor/typebox.js';
import { type Problem, problem } from './problems.js';

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
    return [problem('plugin-unreadable', id, { why: errorSummary(error) })];
  }
}
