/** The composition root: the one place in core that knows which parts there are, and that reads `process`. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { BUILT_IN } from '../plugins/index.js';
import type { Plugin } from './api/index.js';
import { checkAgainst } from './config/check.js';
import { resolveConfig, type Sources } from './config/resolve.js';
import type { Config } from './config/schema.js';
import { selected } from './config/select.js';
import { graphOf } from './host/graph.js';
import { type Host, loadHost } from './host/host.js';
import { BootError, printable, report, whyOf } from './host/problems.js';
import { type Found, findPlugins } from './load/modules.js';
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
  const { candidates, problems } = await found(config);
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

/** What the configuration names, looked at and not run; no dom0 is asked. Throws BootError when any of it is no plugin. */
export async function named(config: Config): Promise<readonly Plugin[]> {
  const { candidates, problems: absent } = await found(config);
  const { plugins, problems } = graphOf(candidates);
  if (absent.length + problems.length > 0) throw new BootError([...absent, ...problems]);
  return plugins;
}

function found({ plugins, file }: Config): Promise<Found> {
  const folder = file === undefined ? process.cwd() : dirname(file);
  return findPlugins({ names: plugins, builtIn: BUILT_IN, folder });
}

/** Serves MCP on standard input and output until the client goes. */
export async function serve(config: Config): Promise<void> {
  const stdout = ownOutput();
  outliveStrayErrors();
  const host = await load(config);
  if (host.problems.length > 0) log(`going on without\n${report(host.problems)}`);
  const connection = serveMcp({
    ...host,
    tools: selected(host.tools, config),
    version: VERSION,
    log,
    stdin: process.stdin,
    stdout,
  });
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await Promise.race([connection.closed, stopped]);
  await connection.close();
  await host.dispose();
}

/**
 * Standard output, for MCP alone: a plugin's `console.log` would be noise in the middle of a message, and goes to standard
 * error from here on.
 */
function ownOutput(): NodeJS.WriteStream {
  const { stdout } = process;
  Object.defineProperty(process, 'stdout', { get: () => process.stderr, configurable: true });
  return stdout;
}

/** A plugin's forgotten promise, or what it throws from a timer, ends with a line for the operator and not the server. */
function outliveStrayErrors(): void {
  // Nobody to read the lines is no reason to end, either.
  process.stderr.on('error', () => {});
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    process.on(event, (error: unknown) => {
      log(`${event}: ${error instanceof Error ? (error.stack ?? error.message) : whyOf(error)}`);
    });
}

/** Enough of one to be asked what it takes; what else is wrong with it, the graph says. */
function isPlugin(untrusted_plugin: unknown): untrusted_plugin is Plugin {
  try {
    const { id, tools } = untrusted_plugin as Plugin;
    return typeof id === 'string' && tools.every(({ name }) => typeof name === 'string');
  } catch {
    return false;
  }
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
