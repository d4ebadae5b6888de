import { API_VERSION, type Plugin, type Service, type Tool } from '../api/index.js';
import { isObject } from '../ports/dom0.js';
import { isUri, lookingParts } from '../serve/resources.js';
import { type Problem, problem, whyOf } from './problems.js';
import { textProblems } from './text.js';

const PLUGIN_ID = /^[a-z][a-z0-9]*$/;
const TOOL_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;
const VERB = /^[A-Z][A-Za-z]*$/;

/** A plugin and where the configuration says it comes from: a built-in id, a package name or a path. */
export interface Candidate {
  readonly origin: string;
  readonly plugin: unknown;
}

export interface Graph {
  /** Each after the ones it needs, otherwise in the order given. Frozen all the way down. */
  readonly plugins: readonly Plugin[];
  readonly problems: readonly Problem[];
}

/**
 * Looks at what the plugins say of themselves and of each other; runs nothing of theirs. A plugin with a problem is
 * left out of `plugins`.
 */
export function graphOf(candidates: readonly Candidate[]): Graph {
  const problems: Problem[] = [];
  const shaped: { origin: string; plugin: Plugin }[] = [];
  for (const { origin, plugin } of candidates) {
    // A plugin may throw while it is looked at, by a getter or a proxy: that is its own problem and nobody else's.
    try {
      const found = shapeProblems(origin, plugin);
      if (found.length > 0) problems.push(...found);
      else shaped.push({ origin, plugin: sealed(plugin as Plugin) });
    } catch (error) {
      problems.push(unreadable(origin, error));
    }
  }

  const unique = new Map<string, { origin: string; plugin: Plugin }>();
  for (const entry of shaped) {
    const first = unique.get(entry.plugin.id);
    if (first === undefined) unique.set(entry.plugin.id, entry);
    else
      problems.push(
        problem('plugin-duplicate', entry.plugin.id, { first: first.origin, second: entry.origin }),
      );
  }
  const plugins = [...unique.values()].map(({ plugin }) => plugin);

  for (const plugin of plugins)
    try {
      problems.push(
        ...serviceProblems(plugin),
        ...toolProblems(plugin),
        ...surfaceProblems(plugin),
        ...textProblems(plugin),
      );
    } catch (error) {
      problems.push(unreadable(plugin.id, error));
    }
  problems.push(...toolNameProblems(plugins), ...surfaceNameProblems(plugins), ...needsProblems(plugins));

  const bad = new Set(problems.map(({ plugin }) => plugin));
  return { plugins: inOrder(plugins).filter(({ id }) => !bad.has(id)), problems };
}

function shapeProblems(origin: string, untrusted_plugin: unknown): Problem[] {
  const malformed = (name: string, where: string, expected: string) => [
    problem('plugin-malformed', name, { where, expected }),
  ];
  if (!isObject(untrusted_plugin)) return malformed(origin, 'the default export', 'an object');
  const { id, apiVersion, services, tools, needs, parts } = untrusted_plugin;
  const { resources, prompts, changes } = untrusted_plugin;
  if (typeof id !== 'string' || !PLUGIN_ID.test(id))
    return malformed(origin, 'id', 'lower-case letters and digits, starting with a letter');
  if (apiVersion !== API_VERSION)
    return [problem('plugin-api-version', id, { declares: apiVersion, here: API_VERSION })];
  if (!Array.isArray(services) || !services.every(isService))
    return malformed(id, 'services', 'a list of what defineTargetService and its siblings return');
  if (!Array.isArray(tools) || !tools.every(isTool))
    return malformed(id, 'tools', 'a list of what defineTool returns');
  for (const [where, list] of Object.entries({ resources, prompts }))
    if (
      list !== undefined &&
      !(Array.isArray(list) && list.every((one) => isObject(one) && isObject(one.uses)))
    )
      return malformed(id, where, 'a list of what defineResource or definePrompt returns');
  if (changes !== undefined && !(isObject(changes) && isObject(changes.uses)))
    return malformed(id, 'changes', 'what defineChanges returns');
  if (needs !== undefined && !(Array.isArray(needs) && needs.every((need) => typeof need === 'string')))
    return malformed(id, 'needs', 'a list of plugin ids');
  if (parts !== undefined && !(Array.isArray(parts) && parts.every((part) => typeof part === 'function')))
    return malformed(id, 'parts', 'a list of injectable classes');
  return [];
}

const KINDS: readonly unknown[] = ['target', 'host', 'stream', 'guest'] satisfies Service['kind'][];

function isService(service: unknown): boolean {
  if (!isObject(service)) return false;
  const { kind, name, params, reply, invariants, steps } = service;
  return (
    KINDS.includes(kind) &&
    typeof name === 'string' &&
    isObject(params) &&
    isObject(reply) &&
    Array.isArray(invariants) &&
    invariants.every((each) => isObject(each) && typeof each.id === 'string' && isObject(each.with)) &&
    (kind === 'guest' || Array.isArray(steps))
  );
}

function isTool(tool: unknown): boolean {
  return (
    isObject(tool) && typeof tool.name === 'string' && isObject(tool.uses) && Array.isArray(tool.upholds)
  );
}

function unreadable(plugin: string, error: unknown): Problem {
  return problem('plugin-unreadable', plugin, { why: whyOf(error) });
}

function serviceProblems(plugin: Plugin): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const { name } of plugin.services) {
    const [root, namespace, verb, ...rest] = name.split('.');
    if (root !== 'qmcp' || namespace !== plugin.id || !VERB.test(verb ?? '') || rest.length > 0)
      problems.push(problem('service-namespace', plugin.id, { service: name, plugin: plugin.id }));
    if (seen.has(name)) problems.push(problem('service-duplicate', plugin.id, { service: name }));
    seen.add(name);
  }
  return problems;
}

function toolProblems(plugin: Plugin): Problem[] {
  return plugin.tools.flatMap((tool: Tool) => {
    const problems: Problem[] = [];
    if (!TOOL_NAME.test(tool.name)) problems.push(problem('tool-name', plugin.id, { tool: tool.name }));
    for (const which of ['title', 'description'] as const)
      if (typeof tool[which] !== 'string' || tool[which] === '')
        problems.push(problem('tool-text', plugin.id, { tool: tool.name, which }));
    for (const which of ['input', 'output'] as const)
      if ((tool[which] as { type?: unknown } | undefined)?.type !== 'object' || !isJson(tool[which]))
        problems.push(problem('tool-schema', plugin.id, { tool: tool.name, which }));
    if ((tool.run === undefined) === (tool.handler === undefined))
      problems.push(problem('tool-behaviour', plugin.id, { tool: tool.name }));

    const used: Service[] = Object.values(tool.uses);
    for (const service of used)
      if (!plugin.services.includes(service))
        problems.push(problem('tool-uses-undeclared', plugin.id, { tool: tool.name, service: service.name }));

    if (tool.effect !== 'read' && tool.upholds.length === 0)
      problems.push(problem('tool-upholds-nothing', plugin.id, { tool: tool.name, effect: tool.effect }));
    for (const invariant of tool.upholds)
      if (!used.some((service) => service.invariants.includes(invariant)))
        problems.push(
          problem('tool-upholds-undeclared', plugin.id, { tool: tool.name, invariant: invariant.id }),
        );
    return problems;
  });
}

/** What is no tool only looks, through the plugin's own services. */
function surfaceProblems(plugin: Plugin): Problem[] {
  const addresses = (plugin.resources ?? [])
    .filter(({ uri }) => !isUri(uri))
    .map(({ uri }) => problem('resource-uri', plugin.id, { uri }));
  const uses = lookingParts(plugin).flatMap(({ what, uses }) =>
    Object.values(uses).flatMap((service) => {
      if (!plugin.services.includes(service))
        return [problem('surface-uses-undeclared', plugin.id, { what, service: service.name })];
      const { name, effect } = service;
      return effect === 'read'
        ? []
        : [problem('surface-changes', plugin.id, { what, service: name, effect })];
    }),
  );
  return [...addresses, ...uses];
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

function toolNameProblems(plugins: readonly Plugin[]): Problem[] {
  const named = ({ tools }: Plugin) => tools.map(({ name }) => name);
  return collisions(plugins, named).map(([id, tool, other]) =>
    problem('tool-duplicate', id, { tool, other }),
  );
}

function surfaceNameProblems(plugins: readonly Plugin[]): Problem[] {
  const named = ({ resources = [], prompts = [] }: Plugin) => [
    ...resources.map(({ uri }) => `resource ${uri}`),
    ...prompts.map(({ name }) => `prompt ${name}`),
  ];
  return collisions(plugins, named).map(([id, what, other]) =>
    problem('surface-duplicate', id, { what, other }),
  );
}

/** Both sides of a collision are named, and neither is kept: which came first is an accident. */
function collisions(
  plugins: readonly Plugin[],
  named: (plugin: Plugin) => readonly string[],
): [id: string, name: string, other: string][] {
  const owners = new Map<string, string[]>();
  for (const plugin of plugins)
    for (const name of named(plugin)) owners.set(name, [...(owners.get(name) ?? []), plugin.id]);
  return [...owners].flatMap(([name, ids]) =>
    ids.length < 2
      ? []
      : ids.map((id, index): [string, string, string] => [id, name, ids[(index + 1) % ids.length]!]),
  );
}

function needsProblems(plugins: readonly Plugin[]): Problem[] {
  const ids = new Set(plugins.map(({ id }) => id));
  const missing = plugins.flatMap(({ id, needs = [] }) =>
    needs
      .filter((need) => !ids.has(need))
      .map((need) => problem('plugin-needs-missing', id, { needs: need })),
  );
  const circles = plugins.flatMap((plugin) => {
    const path = pathBack(plugin.id, plugin.id, new Map(plugins.map((p) => [p.id, p.needs ?? []])));
    return path ? [problem('plugin-cycle', plugin.id, { path: [plugin.id, ...path] })] : [];
  });
  return [...missing, ...circles];
}

/** The way along `needs` from one plugin to another, without the first, or undefined when there is none. */
function pathBack(
  from: string,
  to: string,
  needs: ReadonlyMap<string, readonly string[]>,
  seen: Set<string> = new Set(),
): string[] | undefined {
  for (const next of needs.get(from) ?? []) {
    if (next === to) return [to];
    if (seen.has(next)) continue;
    seen.add(next);
    const rest = pathBack(next, to, needs, seen);
    if (rest) return [next, ...rest];
  }
  return undefined;
}

function inOrder(plugins: readonly Plugin[]): Plugin[] {
  const byId = new Map(plugins.map((plugin) => [plugin.id, plugin]));
  const ordered = new Set<Plugin>();
  const visiting = new Set<Plugin>();
  const visit = (plugin: Plugin | undefined) => {
    if (plugin === undefined || visiting.has(plugin)) return;
    visiting.add(plugin);
    for (const need of plugin.needs ?? []) visit(byId.get(need));
    ordered.add(plugin);
  };
  for (const plugin of plugins) visit(plugin);
  return [...ordered];
}

/**
 * A plugin nobody can change any more, its author included. Services and invariants keep their identity (it is their
 * authority), so they are frozen in place; the plugin and its tools are copies.
 */
function sealed(plugin: Plugin): Plugin {
  return settled({
    ...plugin,
    services: [...plugin.services],
    tools: plugin.tools.map((tool) => ({ ...tool, uses: { ...tool.uses }, upholds: [...tool.upholds] })),
    resources: (plugin.resources ?? []).map((resource) => ({ ...resource, uses: { ...resource.uses } })),
    prompts: (plugin.prompts ?? []).map((prompt) => ({ ...prompt, uses: { ...prompt.uses } })),
    needs: [...(plugin.needs ?? [])],
    parts: [...(plugin.parts ?? [])],
  });
}

/** Frozen all the way down. What answers anew each time it is asked could be one thing to dom0 and another to a call. */
function settled<T extends object>(value: T): T {
  const seen = new Set<unknown>();
  const settle = (part: unknown): void => {
    if (typeof part !== 'object' || part === null || seen.has(part)) return;
    seen.add(part);
    Object.freeze(part);
    for (const key of Reflect.ownKeys(part)) {
      const { get, value } = Object.getOwnPropertyDescriptor(part, key)!;
      if (get !== undefined) throw new TypeError(`${String(key)} is computed anew each time it is read`);
      if (typeof value === 'object') settle(value);
    }
  };
  settle(value);
  return value;
}
