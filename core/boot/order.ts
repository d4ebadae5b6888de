import type { Plugin } from '../api/index.js';
import { errorSummary } from '../serve/failure.js';
import { type Problem, problem } from './problems.js';
import { copyAndFreeze, declarationProblems, shapeProblems } from './shape.js';

/** A plugin and its origin in the configuration: a built-in id, a package name or a path. */
export interface Candidate {
  readonly origin: string;
  readonly plugin: unknown;
}

export interface Graph {
  /** Each after the plugins it needs, otherwise in the order given. Deeply frozen. */
  readonly plugins: readonly Plugin[];
  readonly problems: readonly Problem[];
}

/**
 * Checks what the plugins declare about themselves and each other, without running their code. A plugin with a problem is
 * left out of `plugins`.
 */
export function graphOf(candidates: readonly Candidate[]): Graph {
  const problems: Problem[] = [];
  const wellFormed: { origin: string; plugin: Plugin }[] = [];
  for (const { origin, plugin } of candidates) {
    // A getter or a proxy may throw while a plugin is read. Only that plugin is refused for it.
    try {
      const found = shapeProblems(origin, plugin);
      if (found.length > 0) problems.push(...found);
      else wellFormed.push({ origin, plugin: copyAndFreeze(plugin as Plugin) });
    } catch (error) {
      problems.push(unreadable(origin, error));
    }
  }

  const unique = new Map<string, { origin: string; plugin: Plugin }>();
  for (const entry of wellFormed) {
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
      problems.push(...declarationProblems(plugin));
    } catch (error) {
      problems.push(unreadable(plugin.id, error));
    }
  problems.push(...toolNameProblems(plugins), ...surfaceNameProblems(plugins), ...needsProblems(plugins));

  const bad = new Set(problems.map(({ plugin }) => plugin));
  return { plugins: sortByNeeds(plugins).filter(({ id }) => !bad.has(id)), problems };
}

function unreadable(plugin: string, error: unknown): Problem {
  return problem('plugin-unreadable', plugin, { why: errorSummary(error) });
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

/** Names that several plugins use. All of these plugins are refused: the order in which they are listed must not decide. */
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
    const path = pathAlongNeeds(plugin.id, plugin.id, new Map(plugins.map((p) => [p.id, p.needs ?? []])));
    return path ? [problem('plugin-cycle', plugin.id, { path: [plugin.id, ...path] })] : [];
  });
  return [...missing, ...circles];
}

/** The path along `needs` from one plugin to another, without the first; undefined if there is none. */
function pathAlongNeeds(
  from: string,
  to: string,
  needs: ReadonlyMap<string, readonly string[]>,
  seen: Set<string> = new Set(),
): string[] | undefined {
  for (const next of needs.get(from) ?? []) {
    if (next === to) return [to];
    if (seen.has(next)) continue;
    seen.add(next);
    const rest = pathAlongNeeds(next, to, needs, seen);
    if (rest) return [next, ...rest];
  }
  return undefined;
}

function sortByNeeds(plugins: readonly Plugin[]): Plugin[] {
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
