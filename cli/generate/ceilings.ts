import { join } from 'node:path';
import { PRESETS } from '../../core/config/defaults.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { selectTools } from '../../core/config/select.js';
import type { ServedTool } from '../../core/serve/served.js';
import { BUILT_IN } from '../../plugins/index.js';

/** The plugins of a preset and the built-in tools that it serves, in the order of the plugins. */
export async function toolsOf(preset: string): Promise<{ plugins: readonly string[]; tools: ServedTool[] }> {
  const config = await resolveConfig({ flags: { extends: [preset] }, env: {}, directory: '/nonexistent' });
  const loaded = BUILT_IN.filter(({ id }) => config.plugins.includes(id));
  const all = loaded.flatMap(({ id, tools }) =>
    tools.map(
      (tool): ServedTool => ({ plugin: id, tool, call: () => Promise.reject(new Error('not here')) }),
    ),
  );
  return { plugins: config.plugins, tools: selectTools(all, config) };
}

/**
 * dom0's side of every preset: which plugins to grant, and a policy that denies the services of them that the preset does not
 * use. A preset in the control qube is a convenience; these two files also bind an agent that controls that qube.
 */
export async function ceilings(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const preset of PRESETS) {
    const { plugins, tools } = await toolsOf(preset);
    const used = new Set(tools.flatMap(({ tool }) => Object.values(tool.uses).map(({ name }) => name)));
    const granted = BUILT_IN.filter(({ id }) => plugins.includes(id));
    const denied = granted.flatMap(({ services }) =>
      services.map(({ name }) => name).filter((name) => !used.has(name)),
    );
    files.set(join(folder, `${preset}.qmcp.toml`), grant(preset, plugins, preset === SUPERVISED));
    files.set(join(folder, `${preset}.policy`), denial(preset, denied));
  }
  return files;
}

/** The preset with which the operator is asked before anything is destroyed. Only dom0 can ask, so its file in config/ cannot say it. */
const SUPERVISED: (typeof PRESETS)[number] = 'supervised';

const grant = (preset: string, plugins: readonly string[], asks: boolean): string =>
  `# dom0's side of the preset ${preset}: the plugins to grant to the principal in /etc/qmcp/qmcp.toml. Generated from ${preset}.yaml.
# After the change, run: qmcp-admin policy install. Calls to services of other plugins are then refused, whoever makes them.

[world.ai.principal.mcp-control]
plugins = [${plugins.map((id) => JSON.stringify(id)).join(', ')}]
${asks ? 'destructive = "ask"\n' : ''}`;

const denial = (preset: string, services: readonly string[]): string =>
  [
    `# dom0's side of the preset ${preset}: denies the services of its plugins that it does not use. Generated from ${preset}.yaml.`,
    `# Install it as /etc/qubes/policy.d/29-qmcp-${preset}.policy. It is then read before 30-qmcp.policy, and the first match wins.`,
    '# Replace mcp-control with the name of your principal. The file only denies, so qmcp-admin check does not report it.',
    '',
    ...services.flatMap((service) =>
      ['@adminvm', '@anyvm'].map((target) => `${service.padEnd(24)} * mcp-control ${target.padEnd(8)} deny`),
    ),
    '',
  ].join('\n');
