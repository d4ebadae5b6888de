import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import type { PublicExplorer } from 'cosmiconfig';
import { BadConfig } from './fault.js';
import type { Parsed } from './parse.js';
import type { ConfigFile } from './schema.js';

/** Where a configuration may be. Data only: nothing here is executed. */
export const FILE_NAMES = [
  'qmcp.config.yaml',
  'qmcp.config.yml',
  'qmcp.config.json',
  'qmcp.config.toml',
  '.qmcprc',
  '.qmcprc.json',
  '.qmcprc.yaml',
  'package.json',
];

/** What other tools would run. Not read, and worth a word when somebody wonders. */
export const EXECUTABLE = /^(qmcp\.config|\.qmcprc)\.[cm]?[jt]s$/;

export interface LoadedConfig {
  readonly file: string;
  readonly config: ConfigFile;
  /** The line that says the value at this path. */
  readonly lineOf: Parsed['lineOf'];
}

/** The given file, or the one of the known places in `directory` that has a configuration, or undefined. Throws BadConfig. */
export async function findConfig(directory: string, file?: string): Promise<LoadedConfig | undefined> {
  if (file !== undefined) {
    const found = await load(file);
    if (found === undefined) throw new BadConfig(`${file}:1: has no "qmcp" in it`);
    return found;
  }
  const here = await directoryEntries(directory);
  const found: LoadedConfig[] = [];
  for (const place of FILE_NAMES.filter((each) => here.includes(each))) {
    const path = join(directory, place);
    const one = place === 'package.json' && (await lacksConfig(path)) ? undefined : await load(path);
    if (one !== undefined) found.push(one);
  }
  const [first, second] = found;
  if (second !== undefined)
    throw new BadConfig(
      `${second.file}:1: ${basename(first!.file)} beside it is a configuration, too: keep one of them`,
    );
  return first;
}

/** A package.json that says nothing of qmcp, as nearly all do: known without what reads a configuration, which takes time to load. */
async function lacksConfig(path: string): Promise<boolean> {
  try {
    const whole: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof whole === 'object' && whole !== null && !Object.hasOwn(whole, 'qmcp');
  } catch {
    return false;
  }
}

/** An empty file is no configuration when it was only come across; neither is a package.json without `qmcp`. */
async function load(file: string): Promise<LoadedConfig | undefined> {
  const result = await read(file);
  if (result === null || result === undefined) return undefined;
  const { value, lineOf } = result;
  const { validate: validated } = await import('./validate.js');
  const config = validated((path) => `${file}:${lineOf(path)}`, value ?? {});
  return { file, config, lineOf };
}

async function read(file: string): Promise<Parsed | null | undefined> {
  try {
    return (await explorer().load(file))?.config;
  } catch (error) {
    if (error instanceof BadConfig) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'no such file',
      EACCES: 'may not be read by you: see its permissions',
      EISDIR: 'is a folder, and should be a file',
    };
    const kinds = 'a configuration is data, and never run: name it .yaml, .json or .toml';
    throw new BadConfig(`${file}: ${why[code ?? ''] ?? (message.startsWith('No loader') ? kinds : message)}`);
  }
}

function explorer(): PublicExplorer {
  // cosmiconfig() first reads a file of its own from the working directory and runs it when it is called
  // .config/config.js. The explorer underneath does not; it is the same code without that step. Loaded when there is a file.
  const { Explorer } = createRequire(import.meta.url)('cosmiconfig/dist/Explorer.js') as {
    Explorer: new (options: object) => PublicExplorer;
  };
  return new Explorer({
    moduleName: 'qmcp',
    searchPlaces: FILE_NAMES,
    loaders: Object.fromEntries(['.json', '.yaml', '.yml', '.toml', 'noExt'].map((kind) => [kind, loader])),
    cache: false,
    searchStrategy: 'none',
    transform: (result: unknown) => result,
    metaConfigFilePath: null,
  });
}

/** What a file says; of a package.json, what its key `qmcp` does. */
async function loader(file: string, text: string): Promise<unknown> {
  const { parseData: parsed } = await import('./parse.js');
  const whole = parsed(file, text);
  if (basename(file, extname(file)) !== 'package') return whole;
  const { value, lineOf } = whole;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'qmcp')) return {};
  const part: Parsed = {
    value: (value as { qmcp: unknown }).qmcp,
    lineOf: (path) => lineOf(['qmcp', ...path]),
  };
  return { qmcp: part };
}

export async function directoryEntries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch {
    return [];
  }
}
