import type { Plugin, Resource, ResourceHandler, Variables } from '../api/index.js';
import { own } from '../ports/values.js';
import { addressOf } from './addresses.js';
import { startingWith } from './completions.js';
import type { PluginContainer } from './container.js';
import { guarded } from './guarded.js';
import type { Looking, ServedResource } from './served.js';

export function servedResource(
  plugin: Plugin,
  resource: Resource,
  container: PluginContainer,
  log: (line: string) => void,
): ServedResource {
  const ports = container.ports(resource.uses);
  const handler = resource.handler && container.instance<ResourceHandler>(resource.handler);
  const address = addressOf(resource.uri);
  const read = async (variables: Variables, context: Looking) =>
    handler ? handler.read(variables, context) : resource.read!(ports, variables, context);
  const list = async (context: Looking) => {
    if (address.variables.length === 0) return [resource.uri];
    return (await (handler ? handler.list?.(context) : resource.list?.(ports, context))) ?? [];
  };
  return Object.freeze({
    plugin: plugin.id,
    resource,
    match: address.match,
    read: (variables: Variables, context: Looking) =>
      guarded(resource.name, log, () => read(variables, context)),
    list: (context: Looking) => guarded(resource.name, log, () => list(context)),
    complete: (variable: string, typed: string, context: Looking) =>
      guarded(resource.name, log, async () => {
        const complete = own(resource.complete, variable);
        return startingWith(typed, complete ? await complete(ports, typed, context) : []);
      }),
  });
}

export function servedChanges(plugin: Plugin, container: PluginContainer) {
  const { changes } = plugin;
  if (changes === undefined) return [];
  const ports = container.ports(changes.uses);
  return [(context: Looking) => changes.of(ports, context)];
}
