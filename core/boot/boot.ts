import type { Plugin, RunContext } from '../api/index.js';
import type { Qrexec } from '../ports/qrexec.js';
import { own } from '../ports/values.js';
import { Builtins } from '../serve/builtins.js';
import { PluginContainer, rootContainer } from '../serve/container.js';
import { errorSummary } from '../serve/failure.js';
import { optionsOf } from '../serve/options.js';
import { servePrompt } from '../serve/prompts.js';
import { serveChanges, serveResource } from '../serve/resources.js';
import type { Surface } from '../serve/served.js';
import { serveTool } from '../serve/tools.js';
import type { CatalogAnswer } from './catalog.js';
import { handshakeProblems } from './handshake.js';
import { optionProblems } from './options.js';
import { type Candidate, graphOf } from './order.js';
import { BootError, type Problem, problem } from './problems.js';

/** Seconds a plugin has to let go of what it holds. */
const DISPOSE_SECONDS = 5;

export interface BootOptions {
  readonly candidates: readonly Candidate[];
  /** Problems found on the way to the candidates: a plugin that could not be imported. */
  readonly problems?: readonly Problem[];
  readonly qrexec: Qrexec;
  /** dom0's answer, which may have been asked for already. */
  readonly catalog: Promise<CatalogAnswer>;
  /** Seconds a call may take beyond what it asks for. */
  readonly timeout: number;
  /** `exit`: any problem keeps the server from starting. `skip`: a plugin with one is left out. */
  readonly onRefusal: 'exit' | 'skip';
  /** What the configuration gives each plugin, by id. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Lines for the operator. */
  readonly log: (line: string) => void;
}

/** What is offered comes in the order of the plugins, and of each plugin's lists. */
export interface Loaded extends Surface {
  readonly plugins: readonly Plugin[];
  /** Why the plugins that are not here are not here. */
  readonly problems: readonly Problem[];
  readonly catalog: CatalogAnswer;
  /** Lets go of every plugin, the last loaded first. */
  dispose(): Promise<void>;
}

/**
 * From candidates to tools: what the plugins say of themselves, then what dom0 says of them, then a container for each
 * that is left. A plugin that fails at any of these contributes nothing. Throws BootError with every problem at once.
 */
export async function boot(options: BootOptions): Promise<Loaded> {
  const { candidates, qrexec, timeout, onRefusal, log, options: given = {} } = options;
  const graph = graphOf(candidates);
  const catalog = await options.catalog;
  const problems = [
    ...(options.problems ?? []),
    ...graph.problems,
    ...handshakeProblems(graph.plugins, catalog),
  ];

  const refused = new Set(problems.map(({ plugin }) => plugin));
  const root = rootContainer();
  const builtins = new Builtins();
  const loaded: { plugin: Plugin; container: PluginContainer; surface: Surface }[] = [];
  for (const plugin of graph.plugins) {
    const refusedNeeds = (plugin.needs ?? []).filter((need) => refused.has(need));
    problems.push(...refusedNeeds.map((needs) => problem('plugin-needs-refused', plugin.id, { needs })));
    const badOptions = optionProblems(plugin, own(given, plugin.id));
    problems.push(...badOptions);
    if (refusedNeeds.length + badOptions.length > 0) refused.add(plugin.id);
    if (refused.has(plugin.id)) continue;
    const container = new PluginContainer(plugin, root, qrexec, timeout);
    const started = startPlugin(plugin, container, log, {
      builtins,
      options: optionsOf(plugin, own(given, plugin.id)),
    });
    if ('problems' in started) {
      problems.push(...started.problems);
      refused.add(plugin.id);
      await disposePlugin(plugin, container, log);
      continue;
    }
    loaded.push({ plugin, container, surface: started });
  }

  const dispose = async () => {
    for (const { plugin, container } of loaded.toReversed()) await disposePlugin(plugin, container, log);
    await root.dispose();
  };
  if (problems.length > 0 && onRefusal === 'exit') {
    await dispose();
    throw new BootError(problems);
  }
  return {
    plugins: loaded.map(({ plugin }) => plugin),
    tools: loaded.flatMap(({ surface }) => surface.tools),
    resources: loaded.flatMap(({ surface }) => surface.resources),
    prompts: loaded.flatMap(({ surface }) => surface.prompts),
    changes: loaded.flatMap(({ surface }) => surface.changes),
    problems,
    catalog,
    dispose,
  };
}

/** All that one plugin offers, made ready; or why it cannot be. */
function startPlugin(
  plugin: Plugin,
  container: PluginContainer,
  log: BootOptions['log'],
  around: { builtins: Builtins; options: RunContext['options'] },
): Surface | { problems: Problem[] } {
  const { behaviours, failed } = container.behaviours();
  const problems = failed.map(({ tool, why }) =>
    problem('plugin-start-failed', plugin.id, { what: `its tool ${tool}`, why }),
  );
  const changed = around.builtins.restore();
  if (changed.length > 0) problems.push(problem('plugin-changes-builtins', plugin.id, { changed }));
  if (problems.length > 0) return { problems };
  let making = '';
  try {
    return {
      tools: plugin.tools.map((tool) => serveTool(plugin.id, tool, behaviours.get(tool.name)!, log, around)),
      resources: (plugin.resources ?? []).map((resource) => {
        making = `its resource ${resource.uri}`;
        return serveResource(plugin, resource, container, log);
      }),
      prompts: (plugin.prompts ?? []).map((prompt) => servePrompt(plugin, prompt, container, log)),
      changes: serveChanges(plugin, container),
    };
  } catch (error) {
    const why = errorSummary(error);
    return { problems: [problem('plugin-start-failed', plugin.id, { what: making, why })] };
  }
}

/** A plugin that cannot end, or does not, keeps no other from ending. */
async function disposePlugin(
  { id }: Plugin,
  container: PluginContainer,
  log: BootOptions['log'],
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`it did not end within ${DISPOSE_SECONDS} s`)),
      DISPOSE_SECONDS * 1000,
    );
  });
  try {
    await Promise.race([container.dispose(), late]);
  } catch (error) {
    log(`plugin ${id}: while it was let go of: ${errorSummary(error)}`);
  } finally {
    clearTimeout(timer);
  }
}
