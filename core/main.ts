/** The functions of core that the command line calls. Each loads the rest of core when it needs it, so that a server starts fast. */
import type { Plugin } from './api/index.js';
import { requestCatalog } from './boot/catalog-request.js';
import type { Dom0, HttpAddress, Pins, Reviewed } from './composition.js';
import type { Config } from './config/defaults.js';
import { resolveConfig, type Sources } from './config/resolve.js';
import { QrexecClient } from './ports/client.js';
import type { Qrexec } from './ports/qrexec.js';
import { debug, debugChannels, environment, workingDirectory } from './process.js';
import { TracedQrexec } from './trace.js';

export type { HttpAddress, Pins, Reviewed } from './composition.js';
export type { Config } from './config/defaults.js';
export { addressed } from './ports/messages.js';
export type { Qrexec, QrexecResult } from './ports/qrexec.js';

export type ConfigSources = Pick<Sources, 'flags' | 'file'>;

/** Resolves the configuration from the flags, the environment and the working directory. Throws BadConfig. */
export async function configuration({ flags, file }: ConfigSources): Promise<Config> {
  // An unknown channel is an error here, before anything writes to one.
  const channels = debugChannels();
  const config = await resolveConfig({ flags, file, env: environment(), directory: workingDirectory() });
  if (channels.has('config')) {
    debug('config', `file: ${config.file ?? `none in ${workingDirectory()}`}`);
    // Not the values: options of plugins can hold secrets. `qmcp config show` prints those.
    for (const [path, { text }] of config.origins) debug('config', `${path}: from ${text}`);
  }
  return config;
}

/**
 * Loads the plugins that the configuration names. Keeps the tools that the configuration serves and the lock file records,
 * and logs everything unreviewed, unless `quiet`. Throws BadConfig, and BootError if a plugin is refused and `onRefusal` is
 * `exit`.
 */
export async function load(config: Config, options?: { readonly quiet?: boolean }): Promise<Reviewed> {
  const { load } = await import('./composition.js');
  return load(config, { qrexec: qrexecClient(config) }, options);
}

/** Loads everything; returns the lock file and the current state of what it covers. Throws as `load` does. */
export async function pins(config: Config): Promise<Pins> {
  const { pins } = await import('./composition.js');
  return pins(config, { qrexec: qrexecClient(config) });
}

/** Serves MCP on standard input and output until the client disconnects. Throws as `load` does. */
export function serve(config: Config): Promise<void> {
  return withEarlyCatalog(config, ({ serve }, dom0) => serve(config, dom0));
}

/** Serves MCP over HTTP until the process is told to stop. Throws as `load` does, and TokenRequired. */
export function serveOverHttp(config: Config, address: HttpAddress): Promise<void> {
  return withEarlyCatalog(config, ({ serveOverHttp }, dom0) => serveOverHttp(config, dom0, address));
}

/** Reads the plugins that the configuration names, without running their tools or asking dom0. Throws BootError if one is malformed. */
export async function configuredPlugins(config: Config): Promise<readonly Plugin[]> {
  return (await import('./composition.js')).configuredPlugins(config);
}

/** The qrexec client, for `doctor`. */
export function qrexecClient({ qrexec: { client } }: Config): Qrexec {
  const qrexec = new QrexecClient(client);
  return debugChannels().has('qrexec') ? new TracedQrexec(qrexec, debug) : qrexec;
}

/** Asks dom0 for its catalog while the rest of the program is still loading. */
async function withEarlyCatalog<T>(
  config: Config,
  act: (parts: typeof import('./composition.js'), dom0: Dom0) => Promise<T>,
): Promise<T> {
  const qrexec = qrexecClient(config);
  const over = new AbortController();
  const catalog = requestCatalog(qrexec, config.qrexec.timeout, over.signal);
  try {
    return await act(await import('./composition.js'), { qrexec, catalog });
  } finally {
    // If the start failed before dom0 answered, do not wait for the answer.
    over.abort();
  }
}
