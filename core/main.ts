/** The composition root: the one place in core that knows which parts there are, and that reads `process`. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BUILT_IN } from '../plugins/index.js';
import type { Plugin } from './api/index.js';
import { type Host, loadHost } from './boot/boot.js';
import { type Found, findPlugins } from './boot/import.js';
import { type Candidate, graphOf } from './boot/order.js';
import { BootError, printable, report } from './boot/problems.js';
import { checkAgainst, type Known, whereIn } from './config/check.js';
import type { Config } from './config/defaults.js';
import { BadConfig } from './config/fault.js';
import { selected } from './config/select.js';
import { INSTRUCTIONS } from './mcp/instructions.js';
import { serveMcp } from './mcp/stdio.js';
import { type Difference, differences, inWords, type Lock, lockIn, lockOf, reviewed } from './pin/lock.js';
import { versionOf } from './pin/version.js';
import { QrexecClient } from './ports/client.js';
import type { Qrexec } from './ports/qrexec.js';
import { traceOf } from './serve/failure.js';
import { VERSION } from './version.js';

export { Refused } from './api/index.js';
export type { Host } from './boot/boot.js';
export { BootError, type Problem, printable, report } from './boot/problems.js';
export { BadConfig } from './config/fault.js';
export { type Difference, differences, inWords, type Lock } from './pin/lock.js';
export type { Qrexec, QrexecResult } from './ports/qrexec.js';
export { type Asked, configuration } from './start.js';
export { VERSION } from './version.js';

/** Lines for the operator go to standard error, escaped: an agent may have chosen some of them. */
const log = (line: string): void => {
  process.stderr.write(`qmcp: ${printable(line)}\n`);
};

/** A host of which only what a person has reviewed is left, where there is a lock file. */
export interface Loaded extends Host {
  /** What is not as it was reviewed. */
  readonly unreviewed: readonly Difference[];
}

/**
 * Loads what the configuration names, and of that what it lets through and the lock file knows. Throws BadConfig, and
 * BootError when something is refused and `onRefusal` is `exit`. Says what was not reviewed, unless `quiet`.
 */
export async function load(config: Config, { quiet = false, qrexec = wire(config) } = {}): Promise<Loaded> {
  const { path, lock } = lockFile(config);
  const { host, versions } = await whole(config, qrexec);
  const now = lock && lockOf(host, await versions(), INSTRUCTIONS);
  const unreviewed = lock && now ? differences(lock, now) : [];
  if (unreviewed.length > 0 && !quiet) {
    const lines = unreviewed.map((each) => `  ${inWords(each)}`).join('\n');
    log(`not as it was reviewed (${path}), and not served until you look: qmcp pin --review\n${lines}`);
  }
  const left = reviewed(host, unreviewed);
  return { ...left, tools: selected(left.tools, config), unreviewed };
}

/** The way out, for who looks at the way itself. */
export const wire = ({ qrexec: { client } }: Config): Qrexec => new QrexecClient(client);

/** What there is now, and what of it was reviewed: for whoever reviews. Throws as `load` does. */
export async function pins(config: Config): Promise<{ path: string; was: Lock | undefined; is: Lock }> {
  const { path, lock: was } = lockFile({ ...config, pinned: false });
  const { host, versions } = await whole(config);
  const is = lockOf(host, await versions(), INSTRUCTIONS);
  await host.dispose();
  return { path, was, is };
}

async function whole(
  config: Config,
  qrexec = wire(config),
): Promise<{ host: Host; versions: () => Promise<Map<string, string>> }> {
  const { candidates, problems } = await found(config);
  await checkAgainst(config, candidates.flatMap(known));
  const host = await loadHost({
    candidates,
    problems,
    qrexec,
    timeout: config.qrexec.timeout,
    onRefusal: config.onRefusal,
    options: config.options,
    log,
  });
  const origins = new Map(candidates.flatMap((each) => known(each).map(({ id }) => [id, each.origin])));
  const versions = async () => {
    const version = (origin: string) =>
      BUILT_IN.some(({ id }) => id === origin) ? VERSION : versionOf(origin, folderOf(config));
    const found = host.plugins.map(async ({ id }) => [id, await version(origins.get(id)!)] as const);
    return new Map(await Promise.all(found));
  };
  return { host, versions };
}

const folderOf = ({ file }: Config): string => (file === undefined ? process.cwd() : dirname(file));

/** The lock file beside the configuration. Throws BadConfig when it is no lock, or is not there and should be. */
function lockFile(config: Config): { path: string; lock: Lock | undefined } {
  const path = join(folderOf(config), 'qmcp.lock.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new BadConfig(`${path}: ${message}`);
    if (!config.pinned) return { path, lock: undefined };
    const who = whereIn(config, ['pinned']);
    throw new BadConfig(`${path}: no such file, and ${who} says that it must be: qmcp pin writes it`);
  }
  const lock = lockIn(text);
  if (lock === undefined)
    throw new BadConfig(
      `${path}: is not what qmcp pin writes: take the file away, and qmcp pin writes it anew`,
    );
  return { path, lock };
}

/** What the configuration names, looked at and not run; no dom0 is asked. Throws BootError when any of it is no plugin. */
export async function named(config: Config): Promise<readonly Plugin[]> {
  const { candidates, problems: absent } = await found(config);
  const { plugins, problems } = graphOf(candidates);
  if (absent.length + problems.length > 0) throw new BootError([...absent, ...problems]);
  return plugins;
}

function found(config: Config): Promise<Found> {
  outliveStrayErrors();
  return findPlugins({ names: config.plugins, builtIn: BUILT_IN, folder: folderOf(config) });
}

/** Serves MCP on standard input and output until the client goes. */
export async function serve(config: Config, qrexec?: Qrexec): Promise<void> {
  const stdout = ownOutput();
  const { host, options } = await served(config, qrexec);
  const connection = serveMcp({ ...options, stdin: process.stdin, stdout });
  await Promise.race([connection.closed, stopped()]);
  await connection.close();
  await host.dispose();
}

/** Where MCP is served over HTTP. */
export interface At {
  readonly host: string;
  readonly port: number;
  readonly token: string | undefined;
}

/** Serves MCP over HTTP until it is told to stop. Throws Unguarded, and whatever keeps it from listening there. */
export async function serveOverHttp(config: Config, at: At): Promise<void> {
  ownOutput();
  // Not for those who are on a pipe to wait for.
  const { serveHttp } = await import('./mcp/http.js');
  const { host, options } = await served(config);
  try {
    const listener = await serveHttp({ ...options, ...at });
    log(`serving MCP at ${listener.url}${at.token === undefined ? ', to whoever is on this machine' : ''}`);
    await stopped();
    await listener.close();
  } finally {
    await host.dispose();
  }
}

async function served(config: Config, qrexec?: Qrexec) {
  const host = await load(config, { ...(qrexec && { qrexec }) });
  if (host.problems.length > 0) log(`going on without\n${report(host.problems)}`);
  const options = {
    ...host,
    // Instructions that nobody has reviewed are not given.
    ...(host.unreviewed.some(({ kind }) => kind === 'instructions') && { instructions: undefined }),
    version: VERSION,
    log,
  };
  return { host, options };
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
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
  if (process.listenerCount('unhandledRejection') > 0) return;
  // Nobody to read the lines is no reason to end, either.
  process.stderr.on('error', () => {});
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    process.on(event, (error: unknown) => {
      log(`${event}: ${traceOf(error)}`);
    });
}

/** What a plugin says of itself, as far as it can be read; what is wrong with it, the graph says. */
function known({ plugin: untrusted_plugin }: Candidate): Known[] {
  try {
    const { id, tools, options } = untrusted_plugin as Plugin;
    return typeof id === 'string' ? [{ id, options, tools: tools.map(({ name }) => ({ name })) }] : [];
  } catch {
    return [];
  }
}
