import type { Plugin } from '../../core/api/index.js';
import { report } from '../../core/boot/problems.js';
import { configuredPlugins, load, type Reviewed } from '../../core/main.js';
import type { ServeFlags } from '../arguments/flags.js';
import { onHost } from '../host/choose.js';
import { type Cell, type Colour, table } from '../terminal/terminal.js';

const COLOURS: Readonly<Record<string, Colour>> = { read: 'green', write: 'yellow', destroy: 'red' };

interface Listed {
  readonly tool: string;
  readonly plugin: string;
  readonly effect: string;
  readonly title: string;
  /** Undefined when the tool is served. */
  readonly why?: string;
}

/** Lists the tools that an agent is offered; with `all`, also the others, and why they are not served. */
export function tools(flags: ServeFlags & { readonly all?: true; readonly json?: true }): Promise<void> {
  return onHost({ ...flags, onRefusal: 'skip' }, async (config) => {
    const loaded = await load(config);
    await loaded.dispose();
    // An agent would be offered nothing, and the table does not say why.
    if (loaded.tools.length === 0 && loaded.problems.length > 0) {
      process.stderr.write(`${report(loaded.problems).trim()}\n`);
      process.exitCode = 1;
    }
    const listed = all(await configuredPlugins(config), loaded, config.readOnly).filter(
      ({ why }) => flags.all || why === undefined,
    );
    process.stdout.write(
      flags.json ? `${JSON.stringify(listed, null, 2)}\n` : `${render(listed, flags.all === true)}\n`,
    );
  });
}

function all(plugins: readonly Plugin[], loaded: Reviewed, readOnly: boolean): Listed[] {
  const served = new Set(loaded.tools.map(({ tool }) => tool.name));
  const present = new Set(loaded.plugins.map(({ id }) => id));
  const unreviewed = new Set(loaded.unreviewed.map(({ plugin, name }) => `${plugin} ${name ?? ''}`));
  return plugins.flatMap((plugin) =>
    plugin.tools.map(({ name, effect, title }): Listed => {
      const listed = {
        tool: name as string,
        plugin: plugin.id,
        effect: effect as string,
        title: title as string,
      };
      if (served.has(listed.tool)) return listed;
      if (!present.has(plugin.id)) return { ...listed, why: 'plugin refused' };
      if (unreviewed.has(`${plugin.id} ${name}`) || unreviewed.has(`${plugin.id} `))
        return { ...listed, why: 'not reviewed' };
      return { ...listed, why: readOnly && effect !== 'read' ? 'read-only' : 'filtered out' };
    }),
  );
}

function render(listed: readonly Listed[], withWhy: boolean): string {
  const rows = listed.map(({ tool, plugin, effect, title, why }): Cell[] => [
    { text: tool },
    { text: effect, colour: COLOURS[effect] ?? 'dim' },
    { text: plugin },
    ...(withWhy ? [why === undefined ? { text: 'served' } : { text: why, colour: 'yellow' as const }] : []),
    { text: title },
  ]);
  return table(['tool', 'effect', 'plugin', ...(withWhy ? ['state'] : []), 'what it does'], rows);
}
