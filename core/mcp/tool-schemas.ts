import { Refused, type Resource, statementOf } from '../api/index.js';
import type { ServedResource, ServedTool } from '../serve/served.js';

const TOOL_RESOURCE: Resource = {
  uri: 'tool://{name}',
  name: 'tool',
  title: 'A tool in full',
  description: 'The whole schemas of a tool, and what holds of it whatever it is given.',
  mimeType: 'application/json',
  uses: {},
};

/**
 * The parts of tools that `tools/list` leaves out, for people who write programs against a tool. The addresses are not listed,
 * because `tools/list` lists the tools.
 */
export function toolSchemas(tools: readonly ServedTool[]): ServedResource {
  const byName = new Map(tools.map(({ tool }) => [tool.name, tool]));
  return {
    plugin: 'qmcp',
    resource: TOOL_RESOURCE,
    match: (uri) => (/^tool:\/\/[a-z0-9_]+$/.test(uri) ? { name: uri.slice('tool://'.length) } : undefined),
    read: async ({ name }) => {
      const tool = byName.get(name!);
      if (tool === undefined) throw new Refused('not-found');
      const { effect, input, output, upholds } = tool;
      const invariants = Object.fromEntries(upholds.map(({ id }) => [id, statementOf(id)]));
      return { text: JSON.stringify({ name, effect, input, output, invariants }) };
    },
    list: async () => [],
    complete: async (_variable, typed) =>
      [...byName.keys()].filter((name) => name.startsWith(typed)).slice(0, 100),
  };
}
