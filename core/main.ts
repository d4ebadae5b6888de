/** The composition root: the one place in core that knows which parts there are, and that reads `process`. */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { BUILT_IN } from '../plugins/index.js';
import type { Plugin } from './api/index.js';
import { checkAgainst } from './config/check.js';
import { resolveConfig, type Sources } from './config/resolve.js';
import type { Config } from './config/schema.js';
import { selected } from './config/select.js';
import type { Candidate } from './host/graph.js';
import { type Host, loadHost } from './host/host.js';
import { type Problem, printable, problem, report } from './host/problems.js';
import { serveMcp } from './mcp/stdio.js';
import { QrexecClient } from './qrexec/client.js';

export { BadConfig } from './config/fault.js';
export type { Host } from './host/host.js';
export { BootError, type Problem, report } from './host/problems.js';

/** Lines for the operator go to standard error, escaped: an agent may have chosen some of them. */
const log = (line: string): void => {
  process.stderr.write(`qmcp: ${printable(line)}\n`);
};

export const VERSION: string = packageVersion();

export type Asked = Pick<Sources, 'flags' | 'file'>;

/** The configuration as this process was started: its environment, its working directory. Throws BadConfig. */
export function configuration({ flags, file }: Asked): Promise<Config> {
  return resolveConfig({ flags, file, env: process.env, directory: process.cwd() });
}

/** Loads what the configuration names. Throws BootError when something is refused and `onRefusal` is `exit`. */
export async function load(config: Config): Promise<Host> {
  const { candidates, problems } = await candidatesOf(config.plugins);
  checkAgainst(config, candidates.map(({ plugin }) => plugin).filter(isPlugin));
  return loadHost({
    candidates,
    problems,
    qrexec: new QrexecClient(config.qrexec.client),
    timeout: config.qrexec.timeout,
    onRefusal: config.onRefusal,
    log,
  });
}

/** Serves MCP on standard input and output until the client goes. */
export async function serve(config: Config): Promise<void> {
  const host = await load(config);
  if (host.problems.length > 0) log(`going on without\n${report(host.problems)}`);
  const connection = serveMcp({
    ...host,
    tools: selected(host.tools, config),
    version: VERSION,
    log,
    stdin: process.stdin,
    stdout: process.stdout,
  });
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await Promise.race([connection.closed, stopped]);
  await connection.close();
  await host.dispose();
}

/** A built-in id, a path, or the name of a package that is installed beside this one. */
async function candidatesOf(
  names: readonly string[],
): Promise<{ candidates: Candidate[]; problems: Problem[] }> {
  const builtIn = new Map(BUILT_IN.map((plugin) => [plugin.id, plugin]));
  const known = [...builtIn.keys()];
  const candidates: Candidate[] = [];
  const problems: Problem[] = [];
  for (const name of names) {
    const plugin = builtIn.get(name);
    if (plugin !== undefined) {
      candidates.push({ origin: name, plugin });
      continue;
    }
    try {
      const module = (await import(name.startsWith('/') ? pathToFileURL(name).href : name)) as {
        default?: unknown;
      };
      candidates.push({ origin: name, plugin: module.default });
    } catch (error) {
      const why = (error as Error).message.split('\n')[0]!;
      problems.push(problem('plugin-not-found', name, { name, known, why }));
    }
  }
  return { candidates, problems };
}

/** Enough of one to be asked what it takes; what else is wrong with it, the graph says. */
function isPlugin(untrusted_plugin: unknown): untrusted_plugin is Plugin {
  const { id, tools } = (untrusted_plugin ?? {}) as { id?: unknown; tools?: unknown };
  return typeof id === 'string' && Array.isArray(tools);
}

/** From the package this runs in, compiled (dist/core) or not (core). */
function packageVersion(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'));
      if (name === 'qmcp') return version;
    } catch {}
  }
  return '0.0.0';
}
