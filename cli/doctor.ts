import { BadConfig, configuration, load } from '../core/main.js';
import { type ChosenHost, chooseHost, executable, inPath } from './host.js';
import { asked, type ServeFlags } from './serve.js';
import { paint, wrapped } from './terminal.js';

const NEEDED_NODE = [20, 18, 1];

interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly fix?: string | undefined;
}

/** Follows the way of a call from here to dom0 and reports on each stop. Exits 1 when one of them is in the way. */
export async function doctor(flags: ServeFlags): Promise<void> {
  let host: ChosenHost | undefined;
  let healthy = true;
  try {
    for await (const finding of findings(flags, (chosen) => {
      host = chosen;
    })) {
      healthy &&= finding.ok;
      process.stdout.write(`${rendered(finding)}\n`);
    }
  } finally {
    await host?.stop();
  }
  if (!healthy) process.exitCode = 1;
}

async function* findings(flags: ServeFlags, chosen: (host: ChosenHost) => void): AsyncGenerator<Finding> {
  yield nodeVersion();

  const host = await chooseHost(flags);
  chosen(host);
  let config: Awaited<ReturnType<typeof configuration>>;
  try {
    config = await configuration(asked({ ...flags, onRefusal: 'skip' }, host.client));
  } catch (error) {
    if (!(error instanceof BadConfig)) throw error;
    yield {
      what: 'configuration',
      ok: false,
      detail: error.message,
      fix: 'Put that right in the named place.',
    };
    return;
  }
  yield { what: 'configuration', ok: true, detail: config.file ?? 'built-in defaults (no file here)' };

  const client = qrexecClient(config.qrexec.client, host.kind);
  yield client;
  if (!client.ok) return;

  const loaded = await load(config);
  const { catalog } = loaded;
  if (!('catalog' in catalog)) {
    yield {
      what: 'dom0’s catalog',
      ok: false,
      detail: `qmcp.Catalog on @adminvm ${catalog.why}`,
      fix: 'In dom0: see that qmcpd runs, that /etc/qmcp/qmcp.toml names this qube as a principal, and that the policy in 30-qmcp.policy allows it qmcp.Catalog. If it is there, another policy file that sorts earlier may deny it.',
    };
    return;
  }
  const { world, prefix, services } = catalog.catalog;
  yield {
    what: 'dom0’s catalog',
    ok: true,
    detail: `world ${world}, names start with ${prefix}, ${Object.keys(services).length} services`,
  };
  for (const { id } of loaded.plugins) {
    const tools = loaded.tools.filter(({ plugin }) => plugin === id).length;
    yield { what: `plugin ${id}`, ok: true, detail: `loaded, ${tools} ${tools === 1 ? 'tool' : 'tools'}` };
  }
  for (const { plugin, code, message } of loaded.problems)
    yield { what: `plugin ${plugin}`, ok: false, detail: code, fix: message };
  await loaded.dispose();
}

function nodeVersion(): Finding {
  const here = process.versions.node;
  const parts = here.split('.').map(Number);
  const first = NEEDED_NODE.findIndex((needed, index) => parts[index] !== needed);
  const ok = first === -1 || parts[first]! > NEEDED_NODE[first]!;
  const needed = NEEDED_NODE.join('.');
  return { what: 'Node', ok, detail: here, fix: ok ? undefined : `Install Node ${needed} or later.` };
}

function qrexecClient(client: string, kind: ChosenHost['kind']): Finding {
  const path = client.includes('/') ? (executable(client) ? client : undefined) : inPath(client);
  const what = kind === 'sim' ? 'qrexec client (simulated host)' : 'qrexec client';
  if (path !== undefined) return { what, ok: true, detail: path };
  return {
    what,
    ok: false,
    detail: `${client} is not an executable here`,
    fix: 'In a qube it comes with the package qubes-core-qrexec (or qubes-core-agent). Elsewhere, use --host sim, or name another client with --client.',
  };
}

function rendered({ what, ok, detail, fix }: Finding): string {
  const mark = ok ? paint('ok  ', 'green') : paint('FAIL', 'red');
  const line = `${mark}  ${paint(what, 'bold')}: ${detail}`;
  return fix === undefined ? line : `${line}\n${wrapped(fix, '      ')}`;
}
