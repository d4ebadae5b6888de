import type { Tool } from '../api/index.js';
import type { Config } from './defaults.js';

/** The tools that a configuration serves, in their order. Exclusion wins; `readOnly` keeps only tools with effect `read`. */
export function selectTools<T extends { readonly tool: Pick<Tool, 'name' | 'effect'> }>(
  tools: readonly T[],
  {
    readOnly,
    tools: { include, exclude },
  }: { readonly readOnly: boolean; readonly tools: Pick<Config['tools'], 'include' | 'exclude'> },
): T[] {
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
