import type { Plugin, RunContext } from '../api/index.js';
import { Consent, type Questions } from '../ports/consent.js';
import { Gate } from '../ports/gate.js';
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

/** Seconds a plugin has to release its resources. */
const DISPOSE_SECONDS = 5;

export interface BootOptions {
  readonly candidates: readonly Candidate[];
  /** Problems found before: plugins that could not be imported. */
  readonly problems?: readonly Problem[];
  readonly qrexec: Qrexec;
  /** dom0's answer; the request may already be under way. */
  readonly catalog: Promise<CatalogAnswer>;
  /** Seconds a call may take, besides the time its parameters ask for. */
  readonly timeout: number;
  /** The most calls to dom0 in progress at once; by default the number that dom0 gives, or else its own default. */
  readonly concurrent?: number | undefined;
  /** `exit`: do not start if any plugin has a problem. `skip`: start without the plugins that have one. */
  readonly onRefusal: 'exit' | 'skip';
  /** The plugins' options from the configuration, by plugin id. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Lines for the operator. */
  readonly log: (line: string) => void;
}

/** The number of calls that a world may have in progress, if dom0 says nothing else: the default of `qmcp.toml`. */
const USUAL_CONCURRENCY = 4;

const concurrencyIn = (answer: CatalogAnswer): number =>
  ('catalog' in answer ? answer.catalog.concurrent_calls : undefined) ?? USUAL_CONCURRENCY;

/** The services of these plugins that the operator is asked about. */
function questionsIn(plugins: readonly Plugin[], answer: CatalogAnswer): Questions {
  const services = plugins.flatMap(({ services }) => services);
  const asks = 'catalog' in answer ? answer.catalog.services : {};
  return new Map(
    services
      .filter(({ name }) => own(asks, name)?.asks !== undefined)
      .map(({ name, kind }) => [name, { isGuest: kind === 'guest' }]),
  );
}

/** The loaded plugins and what they offer, in the order of the plugins and of each plugin's lists. */
export interface Loaded extends Surface {
  readonly plugins: readonly Plugin[];
  /** Why the other plugins are not loaded. */
  readonly problems: readonly Problem[];
  readonly catalog: CatalogAnswer;
  /** Disposes every plugin, the last loaded first. */
  dispose(): Promise<void>;
}

/**
 * Turns candidates into tools: checks what the plugins declare, compares it with dom0's catalog, then makes a container for
 * each accepted plugin. A plugin that fails at any point contributes nothing. Throws BootError with every problem at once.
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
  const limit = options.concurrent ?? concurrencyIn(catalog);
  const asking = new Consent(qrexec, questionsIn(graph.plugins, catalog));
  const ways = { qubes: asking, dom0: new Gate(asking, limit) };
  const builtins = new Builtins();
  const loaded: { plugin: Plugin; container: PluginContainer; surface: Surface }[] = [];
  for (const plugin of graph.plugins) {
    const refusedNeeds = (plugin.needs ?? []).filter((need) => refused.has(need));
    problems.push(...refusedNeeds.map((needs) => problem('plugin-needs-refused', plugin.id, { needs })));
    const badOptions = optionProblems(plugin, own(given, plugin.id));
    problems.push(...badOptions);
    if (refusedNeeds.length + badOptions.length > 0) refused.add(plugin.id);
    if (refused.has(plugin.id)) continue;
    const container = new PluginContainer(plugin, root, ways, timeout);
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

/** Makes everything that one plugin offers ready to be called, or returns why that failed. */
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

/** Disposes one plugin. An error or a delay is logged and does not keep the other plugins from being disposed. */
async function disposePlugin(
  { id }: Plugin,
  container: PluginContainer,
  log: BootOptions['log'],
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not finished after ${DISPOSE_SECONDS} s`)),
      DISPOSE_SECONDS * 1000,
    );
  });
  try {
    await Promise.race([container.dispose(), late]);
  } catch (error) {
    log(`plugin ${id}: error while it was closed: ${errorSummary(error)}`);
  } finally {
    clearTimeout(timer);
  }
}
