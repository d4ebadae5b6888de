import type { Plugin, Prompt, Resource, ResourceHandler, Uses, Variables } from '../api/index.js';
import { Refused, type ToolContext } from '../api/index.js';
import type { PluginContainer } from './container.js';
import type { ServedPrompt, ServedResource } from './served.js';

/** Completions shown at most: what the protocol allows. */
const SHOWN = 100;

type Log = (line: string) => void;
type Looking = Pick<ToolContext, 'signal'>;

/** Whatever a plugin throws leaves here as a refusal, and the reason goes to the operator. */
async function guarded<T>(name: string, log: Log, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Refused) throw error;
    log(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    throw new Refused('failed');
  }
}

export function servedResource(
  plugin: Plugin,
  resource: Resource,
  container: PluginContainer,
  log: Log,
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

export function servedPrompt(
  plugin: Plugin,
  prompt: Prompt,
  container: PluginContainer,
  log: Log,
): ServedPrompt {
  const ports = container.ports(prompt.uses);
  return Object.freeze({
    plugin: plugin.id,
    prompt,
    complete: (argument: string, typed: string, context: Looking) =>
      guarded(prompt.name, log, async () => {
        const complete = prompt.arguments.find(({ name }) => name === argument)?.complete;
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

/** Everything a plugin offers that is no tool, with the services it looks through. */
export function lookingParts(plugin: Plugin): { readonly what: string; readonly uses: Uses }[] {
  return [
    ...(plugin.resources ?? []).map(({ uri, uses }) => ({ what: `resource ${uri}`, uses: uses as Uses })),
    ...(plugin.prompts ?? []).map(({ name, uses }) => ({ what: `prompt ${name}`, uses: uses as Uses })),
    ...(plugin.changes ? [{ what: 'list of changes', uses: plugin.changes.uses as Uses }] : []),
  ];
}

const URI = /^[a-z][a-z0-9+.-]*:\/\/(?:[A-Za-z0-9_.~/-]|\{[a-z]+\})*$/;

export const isUri = (uri: unknown): uri is string => typeof uri === 'string' && URI.test(uri);

/** The variables of an address with holes, and how to find them in one without. */
export function addressOf(template: string) {
  const variables = [...template.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name!);
  const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = new RegExp(
    `^${template
      .split(/\{[a-z]+\}/)
      .map(literal)
      .join('([^/?#]+)')}$`,
  );
  const match = (uri: string): Variables | undefined => {
    const found = pattern.exec(uri);
    if (found === null) return undefined;
    try {
      return Object.fromEntries(
        variables.map((name, index) => [name, decodeURIComponent(found[index + 1]!)]),
      );
    } catch {
      return undefined;
    }
  };
  return { variables, match };
}

function startingWith(typed: string, words: readonly string[]): string[] {
  return words.filter((word) => word.startsWith(typed)).slice(0, SHOWN);
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}
