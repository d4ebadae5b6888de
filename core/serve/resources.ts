import type { Plugin, Resource, ResourceHandler, Variables } from '../api/index.js';
import { own } from '../ports/values.js';
import { parseTemplate } from './addresses.js';
import { completionsFor } from './completions.js';
import type { PluginContainer } from './container.js';
import { refuseOnError } from './guarded.js';
import type { ReadContext, ServedResource } from './served.js';

export function serveResource(
  plugin: Plugin,
  resource: Resource,
  container: PluginContainer,
  log: (line: string) => void,
): ServedResource {
  const ports = container.ports(resource.uses);
  const handler = resource.handler && container.instance<ResourceHandler>(resource.handler);
  const address = parseTemplate(resource.uri);
  const read = async (variables: Variables, context: ReadContext) =>
    handler ? handler.read(variables, context) : resource.read!(ports, variables, context);
  const list = async (context: ReadContext) => {
    if (address.variables.length === 0) return [resource.uri];
    return (await (handler ? handler.list?.(context) : resource.list?.(ports, context))) ?? [];
  };
  return Object.freeze({
    plugin: plugin.id,
    resource,
    match: address.match,
    read: (variables: Variables, context: ReadContext) =>
      refuseOnError(resource.name, log, () => read(variables, context)),
    list: (context: ReadContext) => refuseOnError(resource.name, log, () => list(context)),
    complete: (variable: string, typed: string, context: ReadContext) =>
      refuseOnError(resource.name, log, async () => {
        const complete = own(resource.complete, variable);
        return completionsFor(typed, complete ? await complete(ports, typed, context) : []);
      }),
  });
}

export function serveChanges(plugin: Plugin, container: PluginContainer) {
  const { changes } = plugin;
  if (changes === undefined) return [];
  const ports = container.ports(changes.uses);
  return [(context: ReadContext) => changes.of(ports, context)];
}
