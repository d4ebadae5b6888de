/** The steps of an operator in dom0 to enable a plugin; an operator could do each of them by hand. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from '../core/api/index.js';
import { contractOf } from '../core/boot/contract.js';
import { packageFile } from '../sim/root.js';
import { type ProcessResult, runPython } from './run.js';

/** The contracts of a plugin as files: `SERVICE.json` and its content. */
export function contractFiles(plugin: Plugin): ReadonlyMap<string, string> {
  return new Map(
    plugin.services.map((service) => [
      `${service.name}.json`,
      `${JSON.stringify(contractOf(plugin, service), null, 2)}\n`,
    ]),
  );
}

/** Runs `qmcp-admin` in the dom0 with this root. */
export function qmcpAdmin(root: string, ...words: readonly string[]): Promise<ProcessResult> {
  return runPython(['-B', packageFile('dom0/operator/qmcp-admin'), '--root', root, ...words]);
}

/** Reviews and installs the contracts, grants the plugin to the principal, and generates the policy. Returns the review. */
export async function installContracts(
  root: string,
  plugin: Plugin,
  world: string,
  principal: string,
): Promise<string> {
  // Of a plugin without services, dom0 has nothing to review or to grant.
  if (plugin.services.length === 0) return '';
  const folder = join(root, 'tmp', plugin.id);
  mkdirSync(folder, { recursive: true });
  const files = [...contractFiles(plugin)].map(([name, text]) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  });
  const review = await must(root, 'contract', 'review', ...files);
  await must(root, 'contract', 'install', ...files, '--yes');
  grant(root, plugin.id, world, principal);
  await must(root, 'policy', 'install', '--yes');
  return review;
}

async function must(root: string, ...words: string[]): Promise<string> {
  const { code, out, err } = await qmcpAdmin(root, ...words);
  if (code !== 0) throw new Error(`qmcp-admin ${words.slice(0, 2).join(' ')}: ${err.trim()}`);
  return out;
}

/** Adds the plugin to the principal's section of qmcp.toml. */
function grant(root: string, plugin: string, world: string, principal: string): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const text = readFileSync(path, 'utf8');
  const head = `[world.${world}.principal.${principal}]`;
  const [before, after] = text.split(head);
  if (after === undefined) throw new Error(`qmcp.toml has no ${head}`);
  const granted = after.replace(/^plugins = \[([^\]]*)\]/m, (line, list: string) =>
    list.includes(`"${plugin}"`) ? line : `plugins = [${list.trim() ? `${list}, ` : ''}"${plugin}"]`,
  );
  writeFileSync(path, before + head + granted);
}
