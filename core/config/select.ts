import type { ServedTool } from '../serve/served.js';
import type { Config } from './defaults.js';

/** The tools a configuration lets through, in their order. Exclusion wins; `readOnly` leaves only reading tools. */
export function selected(
  tools: readonly ServedTool[],
  { readOnly, tools: { include, exclude } }: Pick<Config, 'readOnly' | 'tools'>,
): ServedTool[] {
  return tools.filter(
    ({ tool }) =>
      (!readOnly || tool.effect === 'read') &&
      include.some((pattern) => matches(pattern, tool.name)) &&
      !exclude.some((pattern) => matches(pattern, tool.name)),
  );
}

export function matches(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);
}
