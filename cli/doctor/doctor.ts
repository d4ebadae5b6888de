import { BadConfig } from '../../core/config/fault.js';
import { type Config, configuration, load, qrexecClient, type Reviewed } from '../../core/main.js';
import { describeDifference } from '../../core/pin/lock.js';
import { asked, type ServeFlags } from '../arguments/flags.js';
import { type ChosenHost, chooseHost } from '../host/choose.js';
import { paint, wrapped } from '../terminal/terminal.js';
import { type Finding, fine, wrong } from './finding.js';
import { clientFound, executables, noCatalog, nodeVersion } from './here.js';
import { probes } from './probe.js';

/** Follows the way of a call from here to dom0 and reports on each stop. Exits 1 when one of them is in the way. */
export async function doctor(flags: ServeFlags & { readonly json?: true }): Promise<void> {
  let host: ChosenHost | undefined;
  const found: Finding[] = [];
  try {
    for await (const finding of findings(flags, (chosen) => {
      host = chosen;
    })) {
      found.push(finding);
      if (!flags.json) process.stdout.write(`${rendered(finding)}\n`);
    }
  } finally {
    await host?.stop();
  }
  const bad = found.filter(({ ok }) => !ok).length;
  if (flags.json) process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  else
    process.stdout.write(
      `\n${bad === 0 ? 'Nothing is wrong.' : `${bad} ${bad === 1 ? 'thing is' : 'things are'} wrong.`}\n`,
    );
  if (bad > 0) process.exitCode = 1;
}

/** Every stop, one after the other, for as long as there is a way on. */
export async function* findings(
  flags: ServeFlags,
  chosen: (host: ChosenHost) => void,
): AsyncGenerator<Finding> {
  yield nodeVersion();
  yield* executables(process.cwd());

  let resolved: Config;
  try {
    resolved = await configuration(asked({ ...flags, onRefusal: 'skip' }));
  } catch (error) {
    if (!(error instanceof BadConfig)) throw error;
    yield bad(error);
    return;
  }
  const host = await chooseHost(flags);
  chosen(host);
  const config = host.through(resolved);
  yield fine('config', 'configuration', config.file ?? 'built-in defaults (no file here)');

  const client = clientFound(config.qrexec.client, host.kind === 'sim');
  yield client;
  if (!client.ok) return;

  let loaded: Reviewed;
  try {
    loaded = await load(config, { quiet: true });
  } catch (error) {
    if (!(error instanceof BadConfig)) throw error;
    yield bad(error);
    return;
  }
  try {
    const { catalog } = loaded;
    if (!('catalog' in catalog)) {
      yield noCatalog(catalog.why);
      return;
    }
    const { world, prefix, services } = catalog.catalog;
    const size = Object.keys(services).length;
    yield fine('catalog', 'dom0’s catalog', `world ${world}, names start with ${prefix}, ${size} services`);
    for (const { id } of loaded.plugins) {
      const tools = loaded.tools.filter(({ plugin }) => plugin === id).length;
      yield fine('plugin', `plugin ${id}`, `loaded, ${tools} ${tools === 1 ? 'tool' : 'tools'}`);
    }
    for (const { plugin, code, message } of loaded.problems)
      yield wrong(code, `plugin ${plugin}`, code, message);
    for (const each of loaded.unreviewed)
      yield wrong(
        'pin-mismatch',
        'qmcp.lock.json',
        describeDifference(each),
        'See what it is, and agree when it is meant: qmcp pin --review.',
      );
    yield* probes(loaded, qrexecClient(config));
  } finally {
    await loaded.dispose();
  }
}

const bad = (error: Error): Finding =>
  wrong(
    'config-bad',
    'configuration',
    error.message,
    'Put that right in the named place; qmcp config show --origin says who said what.',
  );

function rendered({ what, ok, detail, fix }: Finding): string {
  const mark = ok ? paint('ok  ', 'green') : paint('FAIL', 'red');
  const line = `${mark}  ${paint(what, 'bold')}: ${detail}`;
  return fix === undefined ? line : `${line}\n${wrapped(fix, '      ')}`;
}
