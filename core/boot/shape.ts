/** Checks what one plugin declares, before any of its code runs. */
import {
  API_VERSION,
  CLIENT_CAPABILITIES,
  type Plugin,
  type Service,
  type Tool,
  type Uses,
} from '../api/index.js';
import { isObject } from '../ports/values.js';
import { isUri } from '../serve/addresses.js';
import { type Problem, problem } from './problems.js';
import { textProblems } from './text.js';

const PLUGIN_ID = /^[a-z][a-z0-9]*$/;
const TOOL_NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;
const VERB = /^[A-Z][A-Za-z]*$/;

export function shapeProblems(origin: string, untrusted_plugin: unknown): Problem[] {
  const malformed = (name: string, where: string, expected: string) => [
    problem('plugin-malformed', name, { where, expected }),
  ];
  if (!isObject(untrusted_plugin)) return malformed(origin, 'the default export', 'an object');
  const { id, apiVersion, services, tools, needs, parts } = untrusted_plugin;
  const { resources, prompts, changes, instructions } = untrusted_plugin;
  if (typeof id !== 'string' || !PLUGIN_ID.test(id))
    return malformed(origin, 'id', 'lower-case letters and digits, starting with a letter');
  if (apiVersion !== API_VERSION)
    return [problem('plugin-api-version', id, { declares: apiVersion, here: API_VERSION })];
  if (!Array.isArray(services) || !services.every(isService))
    return malformed(
      id,
      'services',
      'a list of services, as defineTargetService and the other define functions return them',
    );
  if (!Array.isArray(tools) || !tools.every(isTool))
    return malformed(id, 'tools', 'a list of tools, as defineTool returns them');
  for (const [where, list] of Object.entries({ resources, prompts }))
    if (
      list !== undefined &&
      !(Array.isArray(list) && list.every((one) => isObject(one) && isObject(one.uses)))
    )
      return malformed(id, where, 'a list, as defineResource or definePrompt returns its entries');
  if (Array.isArray(prompts) && !prompts.every(isPrompt))
    return malformed(id, 'prompts', 'each with either text or messages, a function');
  if (changes !== undefined && !(isObject(changes) && isObject(changes.uses)))
    return malformed(id, 'changes', 'what defineChanges returns');
  if (needs !== undefined && !(Array.isArray(needs) && needs.every((need) => typeof need === 'string')))
    return malformed(id, 'needs', 'a list of plugin ids');
  if (
    instructions !== undefined &&
    !(Array.isArray(instructions) && instructions.every((sentence) => typeof sentence === 'string'))
  )
    return malformed(id, 'instructions', 'a list of sentences');
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
    (kind === 'guest' ? areProblems(service.problems) : Array.isArray(steps))
  );
}

function areProblems(problems: unknown): boolean {
  if (!isObject(problems)) return false;
  return Object.values(problems).every((problem) => {
    if (!Array.isArray(problem) || !problem.every((text) => typeof text === 'string')) return false;
    const [, , code = 'not-found'] = problem;
    return problem.length >= 2 && problem.length <= 3 && ['not-found', 'not-permitted'].includes(code);
  });
}

function isTool(tool: unknown): boolean {
  if (!isObject(tool)) return false;
  const { name, uses, upholds, requires = [] } = tool;
  const known: readonly unknown[] = CLIENT_CAPABILITIES;
  return (
    typeof name === 'string' &&
    isObject(uses) &&
    Array.isArray(upholds) &&
    Array.isArray(requires) &&
    requires.every((capability) => known.includes(capability))
  );
}

const isPrompt = (prompt: { readonly text?: unknown; readonly messages?: unknown }): boolean =>
  (typeof prompt.text === 'function') !== (typeof prompt.messages === 'function');

/** Checks the declarations of a plugin that has passed `shapeProblems`. */
export function declarationProblems(plugin: Plugin): Problem[] {
  return [
    ...serviceProblems(plugin),
    ...toolProblems(plugin),
    ...surfaceProblems(plugin),
    ...textProblems(plugin),
  ];
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

/** Everything but a tool may only read, and only through the plugin's own services. */
function surfaceProblems(plugin: Plugin): Problem[] {
  const addresses = (plugin.resources ?? [])
    .filter(({ uri }) => !isUri(uri))
    .map(({ uri }) => problem('resource-uri', plugin.id, { uri }));
  const uses = readingParts(plugin).flatMap(({ what, uses }) =>
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

/** Everything a plugin offers besides tools, with the services it reads from. */
function readingParts(plugin: Plugin): { readonly what: string; readonly uses: Uses }[] {
  return [
    ...(plugin.resources ?? []).map(({ uri, uses }) => ({ what: `resource ${uri}`, uses: uses as Uses })),
    ...(plugin.prompts ?? []).map(({ name, uses }) => ({ what: `prompt ${name}`, uses: uses as Uses })),
    ...(plugin.changes ? [{ what: 'list of changes', uses: plugin.changes.uses as Uses }] : []),
  ];
}

/**
 * Makes a plugin immutable, even for its author. Services and invariants are frozen in place, because their identity is
 * their authority; the plugin and its tools are copied.
 */
export function copyAndFreeze(plugin: Plugin): Plugin {
  return deepFreeze({
    ...plugin,
    services: [...plugin.services],
    tools: plugin.tools.map(({ requires, ...tool }) => ({
      ...tool,
      uses: { ...tool.uses },
      upholds: [...tool.upholds],
      ...(requires && { requires: [...requires] }),
    })),
    resources: (plugin.resources ?? []).map((resource) => ({ ...resource, uses: { ...resource.uses } })),
    prompts: (plugin.prompts ?? []).map((prompt) => ({ ...prompt, uses: { ...prompt.uses } })),
    instructions: [...(plugin.instructions ?? [])],
    needs: [...(plugin.needs ?? [])],
    parts: [...(plugin.parts ?? [])],
  });
}

/** Freezes a value deeply. Refuses getters: one could return one value to the handshake and another to a call. */
function deepFreeze<T extends object>(value: T): T {
  const seen = new Set<unknown>();
  const settle = (part: unknown): void => {
    if (typeof part !== 'object' || part === null || seen.has(part)) return;
    seen.add(part);
    Object.freeze(part);
    for (const key of Reflect.ownKeys(part)) {
      const { get, value } = Object.getOwnPropertyDescriptor(part, key)!;
      if (get !== undefined) throw new TypeError(`${String(key)} is a getter; use a plain value`);
      if (typeof value === 'object') settle(value);
    }
  };
  settle(value);
  return value;
}
