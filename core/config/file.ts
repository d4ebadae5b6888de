import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import type { PublicExplorer } from 'cosmiconfig';
import { BadConfig } from './fault.js';
import type { Parsed } from './parse.js';
import type { ConfigFile } from './schema.js';

/** The names of configuration files. All of them are data; none is executed. */
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

/** Files that other tools would execute. qmcp does not read them; `doctor` mentions them. */
export const EXECUTABLE = /^(qmcp\.config|\.qmcprc)\.[cm]?[jt]s$/;

export interface LoadedConfig {
  readonly file: string;
  readonly config: ConfigFile;
  /** The line of the value at this path. */
  readonly lineOf: Parsed['lineOf'];
}

/** Reads the given file, or else the configuration file in `directory`, if there is one. Throws BadConfig. */
export async function findConfig(directory: string, file?: string): Promise<LoadedConfig | undefined> {
  if (file !== undefined) {
    const found = await load(file);
    if (found === undefined) throw new BadConfig(`${file}:1: has no key "qmcp"`);
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
      `${second.file}:1: ${basename(first!.file)} in the same folder is a configuration, too; keep only one of them`,
    );
  return first;
}

/** Whether a package.json has no key `qmcp`, as is usual. Checked here because the configuration reader takes time to load. */
async function lacksConfig(path: string): Promise<boolean> {
  try {
    const content: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof content === 'object' && content !== null && !Object.hasOwn(content, 'qmcp');
  } catch {
    return false;
  }
}

/** Undefined for an empty file, and for a package.json without the key `qmcp`. */
async function load(file: string): Promise<LoadedConfig | undefined> {
  const result = await read(file);
  if (result === null || result === undefined) return undefined;
  const { value, lineOf } = result;
  const { validate } = await import('./validate.js');
  const config = validate((path) => `${file}:${lineOf(path)}`, value ?? {});
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
      EACCES: 'permission denied; check who may read it',
      EISDIR: 'is a folder, not a file',
    };
    const kinds = 'a configuration is data and is never executed; use a .yaml, .json or .toml file';
    throw new BadConfig(`${file}: ${why[code ?? ''] ?? (message.startsWith('No loader') ? kinds : message)}`);
  }
}

function explorer(): PublicExplorer {
  // cosmiconfig() also looks for its own settings in the working directory, and executes .config/config.js. The explorer class
  // is the same code without that step. It is loaded only if there is a file to read.
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

/** The content of a file; for a package.json, of its key `qmcp`. */
async function loader(file: string, text: string): Promise<unknown> {
  const { parseData } = await import('./parse.js');
  const content = parseData(file, text);
  if (basename(file, extname(file)) !== 'package') return content;
  const { value, lineOf } = content;
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
