import { join } from 'node:path';
import { PRESETS } from '../../core/config/defaults.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { selectTools } from '../../core/config/select.js';
import type { ServedTool } from '../../core/serve/served.js';
import { BUILT_IN } from '../../plugins/index.js';

/** What a preset serves of the built-in plugins, in their order. */
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
 * dom0's side of every preset: which plugins to grant, and a policy that denies what the preset leaves out of them. A preset
 * in the control qube is a convenience; these two are what an agent that owns that qube meets.
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
    files.set(join(folder, `${preset}.qmcp.toml`), grant(preset, plugins));
    files.set(join(folder, `${preset}.policy`), denial(preset, denied));
  }
  return files;
}

const grant = (preset: string, plugins: readonly string[]): string =>
  `# dom0's side of the preset ${preset}: the plugins of the principal in /etc/qmcp/qmcp.toml. Generated from ${preset}.yaml.
# Then: qmcp-admin policy install. A call of any other plugin's service is refused, whoever makes it.

[world.ai.principal.mcp-control]
plugins = [${plugins.map((id) => JSON.stringify(id)).join(', ')}]
`;

const denial = (preset: string, services: readonly string[]): string =>
  [
    `# dom0's side of the preset ${preset}: what it leaves out of the plugins it has. Generated from ${preset}.yaml.`,
    `# Goes to /etc/qubes/policy.d/29-qmcp-${preset}.policy, so that it is read before 30-qmcp.policy: first match wins.`,
    '# mcp-control is the principal; write yours. It only denies, so qmcp-admin check has nothing to say about it.',
    '',
    ...services.flatMap((service) =>
      ['@adminvm', '@anyvm'].map((target) => `${service.padEnd(24)} * mcp-control ${target.padEnd(8)} deny`),
    ),
    '',
  ].join('\n');
