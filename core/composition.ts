/** The composition root: the one place in core that knows all of its parts. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BUILT_IN } from '../plugins/index.js';
import type { Plugin } from './api/index.js';
import { boot, type Loaded } from './boot/boot.js';
import { type CatalogAnswer, parseCatalog } from './boot/catalog.js';
import { requestCatalog } from './boot/catalog-request.js';
import { type DiscoveredPlugins, findPlugins } from './boot/import.js';
import { type Candidate, graphOf } from './boot/order.js';
import { BootError, report } from './boot/problems.js';
import { type ConfigurablePlugin, checkAgainstPlugins, originIn } from './config/check.js';
import type { Config } from './config/defaults.js';
import { BadConfig } from './config/fault.js';
import { readJson, readSecret, readText } from './config/http.js';
import { selectTools } from './config/select.js';
import type { HttpSettings } from './mcp/http.js';
import { INSTRUCTIONS, instructionsOf } from './mcp/instructions.js';
import {
  currentLock,
  type Difference,
  describeDifference,
  differences,
  keepReviewed,
  keepReviewedInstructions,
  type Lock,
  parseLock,
} from './pin/lock.js';
import { versionOf } from './pin/version.js';
import type { Qrexec, QrexecResult } from './ports/qrexec.js';
import {
  debug,
  debugChannels,
  log,
  logStrayErrors,
  reserveStdout,
  standardInput,
  stopRequested,
  workingDirectory,
} from './process.js';
import { backgroundTools, OWN_TOOLS, withBackground } from './serve/background.js';
import { BackgroundCalls } from './serve/calls.js';
import { tracedTools } from './trace.js';
import { VERSION } from './version.js';

/** Where to listen. Port 0 is any free one. */
export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** The connection to dom0. */
export interface Dom0 {
  readonly qrexec: Qrexec;
  /** The reply to `requestCatalog`, if the caller has asked already. */
  readonly catalog?: Promise<QrexecResult>;
}

/** The loaded plugins; with a lock file, only their reviewed parts. */
export interface Reviewed extends Loaded {
  /** Differences from the lock file. */
  readonly unreviewed: readonly Difference[];
}

/** The lock file and the current state of everything it covers. */
export interface Pins {
  readonly path: string;
  readonly locked: Lock | undefined;
  readonly current: Lock;
}

/** See `load` in main.ts. */
export async function load(config: Config, dom0: Dom0, { quiet = false } = {}): Promise<Reviewed> {
  const { path, lock } = lockFile(config);
  const { loaded, versions } = await loadEverything(config, dom0);
  const now = lock && currentLock(loaded, await versions(), INSTRUCTIONS);
  const unreviewed = lock && now ? differences(lock, now) : [];
  if (unreviewed.length > 0 && !quiet) {
    const lines = unreviewed.map((each) => `  ${describeDifference(each)}`).join('\n');
    log(`changed since the review in ${path}, and not served until you run qmcp pin --review:\n${lines}`);
  }
  const left = keepReviewed(loaded, unreviewed);
  const tools = selectTools(left.tools, config);
  return { ...left, tools: debugChannels().has('calls') ? tracedTools(tools, debug) : tools, unreviewed };
}

/** See `pins` in main.ts. */
export async function pins(config: Config, dom0: Dom0): Promise<Pins> {
  const { path, lock: locked } = lockFile({ ...config, pinned: false });
  const { loaded, versions } = await loadEverything(config, dom0);
  const current = currentLock(loaded, await versions(), INSTRUCTIONS);
  await loaded.dispose();
  return { path, locked, current };
}

async function loadEverything(
  config: Config,
  { qrexec, catalog: asked }: Dom0,
): Promise<{ loaded: Loaded; versions: () => Promise<Map<string, string>> }> {
  const { timeout } = config.qrexec;
  const { candidates, problems } = await candidatesOf(config);
  for (const { origin } of candidates) debug('boot', `plugin found: ${origin}`);
  const own = { id: 'qmcp', tools: OWN_TOOLS.map((name) => ({ name })) };
  await checkAgainstPlugins(config, [...candidates.flatMap(declaredBy), own]);
  const catalog = asked ?? requestCatalog(qrexec, timeout);
  const loaded = await boot({
    candidates,
    problems,
    qrexec,
    catalog: catalog.then((reply) => debugCatalog(parseCatalog(reply, timeout))),
    timeout,
    concurrent: isDefault(config, 'qrexec.concurrent') ? undefined : config.qrexec.concurrent,
    onRefusal: config.onRefusal,
    options: config.options,
    log,
  });
  for (const { id, tools } of loaded.plugins) debug('boot', `plugin loaded: ${id}, ${tools.length} tools`);
  for (const { plugin, code } of loaded.problems) debug('boot', `plugin refused: ${plugin}, ${code}`);
  const origins = new Map(candidates.flatMap((each) => declaredBy(each).map(({ id }) => [id, each.origin])));
  const versions = async () => {
    const version = (origin: string) =>
      BUILT_IN.some(({ id }) => id === origin) ? VERSION : versionOf(origin, folderOf(config));
    const found = loaded.plugins.map(async ({ id }) => [id, await version(origins.get(id)!)] as const);
    return new Map(await Promise.all(found));
  };
  return { loaded, versions };
}

function debugCatalog(answer: CatalogAnswer): CatalogAnswer {
  const line =
    'catalog' in answer
      ? `dom0 answered: world ${answer.catalog.world}, ${Object.keys(answer.catalog.services).length} services`
      : `no catalog from dom0: qmcp.Catalog ${answer.why}`;
  debug('boot', line);
  return answer;
}

const isDefault = ({ origins }: Config, path: string): boolean =>
  (origins.get(path)?.kind ?? 'default') === 'default';

const folderOf = ({ file }: Config): string => (file === undefined ? workingDirectory() : dirname(file));

/** The lock file beside the configuration. Throws BadConfig if it is malformed, or required and missing. */
function lockFile(config: Config): { path: string; lock: Lock | undefined } {
  const path = join(folderOf(config), 'qmcp.lock.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new BadConfig(`${path}: ${message}`);
    if (!config.pinned) return { path, lock: undefined };
    const who = originIn(config, ['pinned']);
    throw new BadConfig(`${path}: no such file, but ${who} requires it; qmcp pin writes it`);
  }
  const lock = parseLock(text);
  if (lock === undefined)
    throw new BadConfig(`${path}: not a valid lock file; delete it, then run qmcp pin to write a new one`);
  return { path, lock };
}

/** See `configuredPlugins` in main.ts. */
export async function configuredPlugins(config: Config): Promise<readonly Plugin[]> {
  const { candidates, problems: absent } = await candidatesOf(config);
  const { plugins, problems } = graphOf(candidates);
  if (absent.length + problems.length > 0) throw new BootError([...absent, ...problems]);
  return plugins;
}

function candidatesOf(config: Config): Promise<DiscoveredPlugins> {
  logStrayErrors();
  return findPlugins({ names: config.plugins, builtIn: BUILT_IN, folder: folderOf(config) });
}

/** Serves MCP on standard input and output until the client disconnects. Throws as `load` does. */
export async function serve(config: Config, dom0: Dom0): Promise<void> {
  const stdout = reserveStdout();
  // Loads while dom0 answers; commands that do not serve never load it.
  const mcp = import('./mcp/stdio.js');
  const { loaded, options } = await loadToServe(config, dom0);
  const { serveMcp } = await mcp;
  const connection = serveMcp({ ...options, stdin: standardInput(), stdout });
  await Promise.race([connection.closed, stopRequested()]);
  await connection.close();
  await options.calls.stop();
  await loaded.dispose();
}

/** Serves MCP over HTTP until the process is told to stop. Throws as `load` does, TokenRequired, and errors of listening. */
export async function serveOverHttp(config: Config, dom0: Dom0, address: HttpAddress): Promise<void> {
  reserveStdout();
  const settings = await httpSettings(config);
  const { serveHttp } = await import('./mcp/http.js');
  const { loaded, options } = await loadToServe(config, dom0);
  try {
    const { url, close } = await serveHttp({ ...options, ...address, ...settings });
    const isOpen = settings.tokens === undefined && settings.oauth === undefined;
    log(`serving MCP at ${url}${isOpen ? ' to every process on this machine' : ''}`);
    await stopRequested();
    await close();
  } finally {
    await options.calls.stop();
    await loaded.dispose();
  }
}

/** The settings of HTTP with the content of the files that they name. Throws BadConfig. */
async function httpSettings({ http }: Config): Promise<Omit<HttpSettings, keyof HttpAddress>> {
  const { tokenFile, oauth, tls, publicUrl, origins, state, ...limits } = http;
  return {
    tokens: tokenFile === undefined ? undefined : await tokensIn(tokenFile),
    oauth: oauth && { ...oauth, keys: keysAt(oauth.jwks) },
    tls: tls && { certificate: readText(tls.certificate), key: readSecret(tls.key) },
    publicUrl,
    origins,
    isStateShared: state === 'shared',
    limits,
  };
}

async function tokensIn(file: string) {
  const { BadTokens, parseTokens } = await import('./mcp/clients.js');
  try {
    return parseTokens(readSecret(file));
  } catch (error) {
    throw error instanceof BadTokens ? new BadConfig(`${file}:${error.message}`) : error;
  }
}

const keysAt = (jwks: string) => (/^https:/.test(jwks) ? { url: jwks } : { jwks: readJson(jwks) });

async function loadToServe(config: Config, dom0: Dom0) {
  const loaded = await load(config, dom0);
  const { unreviewed } = loaded;
  const instructing = keepReviewedInstructions(loaded.plugins, unreviewed);
  const served = loaded.tools.map(({ tool }) => tool.name);
  if (loaded.problems.length > 0) log(`started without these plugins:\n${report(loaded.problems)}`);
  const calls = new BackgroundCalls();
  const options = {
    ...loaded,
    tools: followable(loaded.tools, calls, config),
    calls,
    // Instructions that nobody has reviewed are not sent.
    instructions: unreviewed.some(({ kind, plugin }) => kind === 'instructions' && plugin === undefined)
      ? undefined
      : instructionsOf(instructing, served),
    version: VERSION,
    schemas: config.tools.schemas,
    log,
  };
  return { loaded, options };
}

/** The tools, with those that follow a call in the background if one is slow. Without `call_result`, nothing goes there. */
function followable(tools: Reviewed['tools'], calls: BackgroundCalls, config: Config): Reviewed['tools'] {
  const own = tools.some(({ tool }) => tool.slow) ? selectTools(backgroundTools(calls), config) : [];
  return own.some(({ tool }) => tool.name === 'call_result')
    ? [...withBackground(tools, calls), ...own]
    : tools;
}

/** The parts of a plugin that a configuration can refer to, as far as they can be read. `graphOf` reports what is wrong. */
function declaredBy({ plugin: untrusted_plugin }: Candidate): ConfigurablePlugin[] {
  try {
    const { id, tools, options } = untrusted_plugin as Plugin;
    return typeof id === 'string' ? [{ id, options, tools: tools.map(({ name }) => ({ name })) }] : [];
  } catch {
    return [];
  }
}
