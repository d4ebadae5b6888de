import { BadConfig } from '../../core/config/fault.js';
import { type Config, configuration, load, qrexecClient, type Reviewed } from '../../core/main.js';
import { describeDifference } from '../../core/pin/lock.js';
import { configFromFlags, type ServeFlags } from '../arguments/flags.js';
import { type ChosenHost, chooseHost } from '../host/choose.js';
import { paint, wrapped } from '../terminal/terminal.js';
import { type Finding, fine, wrong } from './finding.js';
import { clientFound, executables, noCatalog, nodeVersion } from './here.js';
import { probes } from './probe.js';

/** Checks each step of the way from here to dom0 and reports the results. Exits 1 when a check fails. */
export async function doctor(flags: ServeFlags & { readonly json?: true }): Promise<void> {
  let host: ChosenHost | undefined;
  const results: Finding[] = [];
  try {
    for await (const finding of findings(flags, (chosen) => {
      host = chosen;
    })) {
      results.push(finding);
      if (!flags.json) process.stdout.write(`${render(finding)}\n`);
    }
  } finally {
    await host?.stop();
  }
  const failed = results.filter(({ ok }) => !ok).length;
  if (flags.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
  else
    process.stdout.write(
      `\n${failed === 0 ? 'All checks passed.' : `${failed} ${failed === 1 ? 'check' : 'checks'} failed.`}\n`,
    );
  if (failed > 0) process.exitCode = 1;
}

/** Makes the checks in order, and ends at the first failure that makes the rest impossible. */
export async function* findings(
  flags: ServeFlags,
  chosen: (host: ChosenHost) => void,
): AsyncGenerator<Finding> {
  yield nodeVersion();
  yield* executables(process.cwd());

  let resolved: Config;
  try {
    resolved = await configuration(configFromFlags({ ...flags, onRefusal: 'skip' }));
  } catch (error) {
    if (!(error instanceof BadConfig)) throw error;
    yield badConfig(error);
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
    yield badConfig(error);
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
        'Run qmcp pin --review to see the change, and approve it if it is intended.',
      );
    yield* probes(loaded, qrexecClient(config));
  } finally {
    await loaded.dispose();
  }
}

const badConfig = (error: Error): Finding =>
  wrong(
    'config-bad',
    'configuration',
    error.message,
    'Fix it in the place named above; qmcp config show --origin shows where each value was set.',
  );

function render({ what, ok, detail, fix }: Finding): string {
  const mark = ok ? paint('ok  ', 'green') : paint('FAIL', 'red');
  const line = `${mark}  ${paint(what, 'bold')}: ${detail}`;
  return fix === undefined ? line : `${line}\n${wrapped(fix, '      ')}`;
}
