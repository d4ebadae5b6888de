import type { Plugin } from '../api/index.js';
import { errorSummary } from '../serve/failure.js';
import { Compile } from '../vendor/typebox.js';
import { type Problem, problem } from './problems.js';

/** Checks a plugin's options against its own schema. Missing options are checked as `{}`. */
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
