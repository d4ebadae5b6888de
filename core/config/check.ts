import type { TSchema } from '../vendor/typebox.js';
import type { Config } from './defaults.js';
import { BadConfig, suggestion } from './fault.js';
import { dotted, type Step } from './path.js';
import { matches } from './select.js';

/** The parts of a plugin that a configuration can refer to. */
export interface ConfigurablePlugin {
  readonly id: string;
  readonly options?: TSchema | undefined;
  readonly tools: readonly { readonly name: string }[];
}

/**
 * The checks that need the plugins: options of plugins that are not loaded, options that do not fit their plugin's schema,
 * and names of tools that no plugin has. A filter that matches nothing is an error, because it was meant to exclude
 * something. Throws BadConfig with every fault.
 */
export async function checkAgainstPlugins(
  config: Config,
  plugins: readonly ConfigurablePlugin[],
): Promise<void> {
  const lines = [...(await optionFaults(config, plugins)), ...toolFaults(config, plugins)];
  if (lines.length > 0) throw new BadConfig(lines.join('\n'));
}

/** The origin of a value of the configuration, or of the nearest value around it that has one. */
export function originIn({ origins }: Config, path: readonly Step[]): string {
  for (let length = path.length; length > 0; length--) {
    const at = dotted(path.slice(0, length));
    const origin = origins.get(at) ?? [...origins].find(([key]) => key.startsWith(`${at}.`))?.[1];
    if (origin !== undefined) return origin.text;
  }
  return 'configuration';
}

async function optionFaults(config: Config, plugins: readonly ConfigurablePlugin[]): Promise<string[]> {
  if (Object.keys(config.options).length === 0) return [];
  const { NO_OPTIONS, validatePart } = await import('./validate.js');
  const byId = new Map(plugins.map((plugin) => [plugin.id, plugin]));
  const where = (path: readonly Step[]) => originIn(config, path);
  return Object.entries(config.options).flatMap(([id, options]) => {
    const path = ['options', id];
    const plugin = byId.get(id);
    if (plugin === undefined)
      return [
        `${where(path)}: ${dotted(path)}: no plugin of that name is loaded; ${suggestion(id, [...byId.keys()])}`,
      ];
    const schema = plugin.options ?? NO_OPTIONS;
    try {
      validatePart(where, schema, options, path);
      return [];
    } catch (error) {
      if (error instanceof BadConfig) return error.message.split('\n');
      throw error;
    }
  });
}

/** A pattern with a star may match nothing: it can be meant for tools that do not exist yet. */
function toolFaults(config: Config, plugins: readonly ConfigurablePlugin[]): string[] {
  const names = plugins.flatMap(({ tools }) => tools.map(({ name }) => name));
  return (['include', 'exclude'] as const).flatMap((which) => {
    if (config.origins.get(`tools.${which}`)?.kind === 'preset') return [];
    return config.tools[which].flatMap((pattern, index) => {
      if (pattern.includes('*') || names.some((name) => matches(pattern, name))) return [];
      const path = ['tools', which, index];
      const hint = suggestion(pattern, names).replace(/^expected one of .*/, 'qmcp tools --all lists them');
      return [
        `${originIn(config, path)}: ${dotted(path)}: no plugin listed has a tool ${JSON.stringify(pattern)}; ${hint}`,
      ];
    });
  });
}
