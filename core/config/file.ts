import { createRequire } from 'node:module';
import { type CosmiconfigResult, defaultLoaders, type Loader, type PublicExplorer } from 'cosmiconfig';
import { parse as parseToml } from 'smol-toml';
import type { ConfigFile } from './schema.js';
import { BadConfig, validated } from './validate.js';

// cosmiconfig() first reads a file of its own from the working directory and runs it when it is called .config/config.js.
// The explorer underneath does not; it is the same code without that step.
const { Explorer } = createRequire(import.meta.url)('cosmiconfig/dist/Explorer.js') as {
  Explorer: new (options: object) => PublicExplorer;
};

const json = defaultLoaders['.json'];
const yaml = defaultLoaders['.yaml'];
const toml: Loader = (_path, text) => parseToml(text);

/** Where a configuration may be, first match wins. Data only: nothing here is executed. */
const PLACES = [
  'qmcp.config.yaml',
  'qmcp.config.yml',
  'qmcp.config.json',
  'qmcp.config.toml',
  '.qmcprc',
  '.qmcprc.json',
  '.qmcprc.yaml',
  'package.json',
];

function explorer(): PublicExplorer {
  return new Explorer({
    moduleName: 'qmcp',
    searchPlaces: PLACES,
    loaders: { '.json': json, '.yaml': yaml, '.yml': yaml, '.toml': toml, noExt: yaml },
    ignoreEmptySearchPlaces: true,
    cache: false,
    // The folder itself and none above it: a file somebody left in a parent must not decide what is run.
    searchStrategy: 'none',
    transform: (result: CosmiconfigResult) => result,
    mergeImportArrays: true,
    mergeSearchPlaces: true,
    metaConfigFilePath: null,
  });
}

export interface FoundConfig {
  readonly file: string;
  readonly config: ConfigFile;
}

/** The given file, or the first of the known places in `directory`, or undefined. Throws BadConfig. */
export async function findConfig(directory: string, file?: string): Promise<FoundConfig | undefined> {
  const result = await read(directory, file);
  if (result === null) {
    if (file !== undefined) throw new BadConfig(`${file}: has no "qmcp" in it`);
    return undefined;
  }
  const value: unknown = result.isEmpty ? {} : result.config;
  return { file: result.filepath, config: validated(result.filepath, value ?? {}) };
}

async function read(directory: string, file: string | undefined): Promise<CosmiconfigResult> {
  try {
    return file === undefined ? await explorer().search(directory) : await explorer().load(file);
  } catch (error) {
    const { code, filepath, message } = error as NodeJS.ErrnoException & { filepath?: string };
    if (code === 'ENOENT') throw new BadConfig(`${file}: no such file`);
    const where = filepath ?? file ?? directory;
    throw new BadConfig(message.includes(where) ? message : `${where}: ${message}`);
  }
}
