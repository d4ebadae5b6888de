/** Imports the plugins that a configuration names: the only place that loads code qmcp does not ship. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from '../api/index.js';
import { Builtins } from '../serve/builtins.js';
import { errorSummary } from '../serve/failure.js';
import type { Candidate } from './order.js';
import { type Problem, problem } from './problems.js';

/** Seconds an import may take, so that one plugin cannot keep the server from starting. */
const IMPORT_SECONDS = 10;

export interface DiscoveredPlugins {
  readonly candidates: readonly Candidate[];
  readonly problems: readonly Problem[];
}

export interface PluginSearch {
  /** Built-in ids, absolute paths, and names of packages. */
  readonly names: readonly string[];
  readonly builtIn: readonly Plugin[];
  /** Where packages are looked up: the folder of the file that names them. */
  readonly folder: string;
  readonly seconds?: number;
}

/** Imports one plugin after the other, so that a change to the process can be attributed to the plugin that made it. */
export async function findPlugins({
  names,
  builtIn,
  folder,
  seconds = IMPORT_SECONDS,
}: PluginSearch): Promise<DiscoveredPlugins> {
  const ours = new Map(builtIn.map((plugin) => [plugin.id, plugin]));
  const candidates: Candidate[] = [];
  const problems: Problem[] = [];
  for (const name of names) {
    const plugin = ours.get(name);
    if (plugin !== undefined) {
      candidates.push({ origin: name, plugin });
      continue;
    }
    const builtins = new Builtins();
    const imported = await importPlugin(name, folder, seconds);
    const changed = builtins.restore();
    if ('why' in imported)
      problems.push(problem('plugin-not-found', name, { name, known: [...ours.keys()], why: imported.why }));
    else if (changed.length > 0) problems.push(problem('plugin-changes-builtins', name, { changed }));
    else candidates.push({ origin: name, plugin: imported.plugin });
  }
  return { candidates, problems };
}

type ImportResult = { readonly plugin: unknown } | { readonly why: string };

async function importPlugin(name: string, folder: string, seconds: number): Promise<ImportResult> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<ImportResult>((resolve) => {
    const why = `importing it did not finish within ${seconds} s; its top-level code waits for something that does not happen`;
    timer = setTimeout(() => resolve({ why }), seconds * 1000);
  });
  const module = import(locate(name, folder)).then(
    (exports: { default?: unknown }) => ({ plugin: exports.default }),
    (error: unknown) => ({ why: importFailure(error) }),
  );
  try {
    return await Promise.race([module, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks the name up from `folder` first, then from here: the package may be installed beside this one. */
function locate(name: string, folder: string): string {
  try {
    return pathToFileURL(createRequire(join(folder, 'qmcp.config')).resolve(name)).href;
  } catch (error) {
    if (!name.startsWith('/')) return name;
    if ((error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return name;
    return pathToFileURL(name).href;
  }
}

function importFailure(error: unknown): string {
  if (!(error instanceof Error)) return `importing it threw ${errorSummary(error)}`;
  const [first] = error.message.split('\n');
  const { code } = error as NodeJS.ErrnoException;
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_UNSUPPORTED_DIR_IMPORT';
  return missing
    ? `${first} (a package in TypeScript has to be built first)`
    : `importing it threw ${error.name}: ${first}`;
}
