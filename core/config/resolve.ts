import { dirname, isAbsolute, resolve } from 'node:path';
import { findConfig } from './file.js';
import { type Config, type ConfigFile, DEFAULTS } from './schema.js';
import { BadConfig, validated } from './validate.js';

export interface Sources {
  /** What the command line says, in the shape of the config file. */
  readonly flags: ConfigFile;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where to look for a file. */
  readonly directory: string;
  /** The file to read instead of looking for one. */
  readonly file?: string | undefined;
}

type Put = (text: string) => ConfigFile;

/** The environment's say. Lists are separated by commas. */
const VARIABLES: Readonly<Record<string, Put>> = {
  QMCP_PLUGINS: (text) => ({ plugins: list(text) }),
  QMCP_ON_REFUSAL: (text) => ({ onRefusal: text as 'exit' }),
  QMCP_READ_ONLY: (text) => ({ readOnly: word(text) as boolean }),
  QMCP_TOOLS_INCLUDE: (text) => ({ tools: { include: list(text) } }),
  QMCP_TOOLS_EXCLUDE: (text) => ({ tools: { exclude: list(text) } }),
  QMCP_QREXEC_CLIENT: (text) => ({ qrexec: { client: text } }),
  QMCP_QREXEC_TIMEOUT: (text) => ({ qrexec: { timeout: word(text) as number } }),
};
/** Read by the command, not by the configuration. */
const OTHER_VARIABLES = ['QMCP_CONFIG', 'QMCP_HOST', 'QMCP_WORLD'];

/** Flag over environment over file over default, key by key. Throws BadConfig. */
export async function resolveConfig({ flags, env, directory, file }: Sources): Promise<Config> {
  const found = await findConfig(directory, file ?? env.QMCP_CONFIG);
  const fromFile = found ? anchored(found.config, dirname(found.file)) : {};
  const layers = [fromFile, ...fromEnvironment(env), anchored(validated('command line', flags), directory)];
  let config: Config = { ...DEFAULTS, file: found?.file };
  for (const { $schema: _, tools, qrexec, ...rest } of layers)
    config = {
      ...config,
      ...rest,
      tools: { ...config.tools, ...tools },
      qrexec: { ...config.qrexec, ...qrexec },
    };
  return config;
}

function fromEnvironment(env: Sources['env']): ConfigFile[] {
  return Object.entries(env).flatMap(([name, text]) => {
    if (!name.startsWith('QMCP_') || text === undefined || OTHER_VARIABLES.includes(name)) return [];
    const put = VARIABLES[name];
    if (put === undefined)
      throw new BadConfig(
        `environment: ${name} is not a variable of qmcp; there are ${[...Object.keys(VARIABLES), ...OTHER_VARIABLES].join(', ')}`,
      );
    return [validated(`environment: ${name}`, put(text))];
  });
}

/** Paths in a file are seen from the file's folder. */
function anchored(config: ConfigFile, folder: string): ConfigFile {
  const fromFolder = (text: string) =>
    text.startsWith('.') && !isAbsolute(text) ? resolve(folder, text) : text;
  return {
    ...config,
    ...(config.plugins && { plugins: config.plugins.map(fromFolder) }),
    ...(config.qrexec?.client && {
      qrexec: { ...config.qrexec, client: fromFolder(config.qrexec.client) },
    }),
  };
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** A boolean or a number as JSON spells it; anything else stays text, for the schema to turn down. */
function word(text: string): unknown {
  return /^(true|false|\d{1,9})$/.test(text) ? JSON.parse(text) : text;
}
