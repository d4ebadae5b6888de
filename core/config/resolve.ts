import { dirname, isAbsolute, resolve } from 'node:path';
import { type Config, DEFAULTS, type Origin, PRESETS } from './defaults.js';
import { fromEnvironment } from './environment.js';
import { BadConfig, suggestion } from './fault.js';
import { findConfig } from './file.js';
import { dotted, type Step } from './path.js';
import { presetFile } from './presets.js';
import type { ConfigFile } from './schema.js';

export interface Sources {
  /** The command line's flags, in the shape of the configuration file. */
  readonly flags: ConfigFile;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where to look for a file. */
  readonly directory: string;
  /** The file to read instead of looking for one. */
  readonly file?: string | undefined;
}

/** One source of a configuration. */
interface Layer {
  readonly config: ConfigFile;
  readonly origin: (path: readonly Step[]) => Origin;
}

/** The flag for each key of the configuration file. */
export const FLAGS: Readonly<Record<string, string>> = {
  extends: '--preset',
  plugins: '--plugins',
  onRefusal: '--on-refusal',
  readOnly: '--read-only',
  'tools.include': '--include',
  'tools.exclude': '--exclude',
  'http.tokenFile': '--token-file',
  'qrexec.client': '--client',
  'qrexec.timeout': '--timeout',
};

/**
 * Merges, key by key: a flag wins over the environment, the environment over the file, the file over the defaults. Each of
 * them wins over the presets it names. Throws BadConfig.
 */
export async function resolveConfig({ flags, env, directory, file }: Sources): Promise<Config> {
  const found = await findConfig(directory, file ?? env.QMCP_CONFIG);
  const layers: Layer[] = [
    { config: DEFAULTS as unknown as ConfigFile, origin: () => ({ kind: 'default', text: 'default' }) },
  ];
  if (found !== undefined) {
    const text = (path: readonly Step[]) => `${found.file}:${found.lineOf(path)}`;
    const origin = (path: readonly Step[]): Origin => ({ kind: 'file', text: text(path) });
    layers.push(...(await withPresets({ config: found.config, origin }, dirname(found.file), [found.file])));
  }
  for (const { name, config } of await fromEnvironment(env)) {
    const layer: Layer = { config, origin: () => ({ kind: 'environment', text: name }) };
    layers.push(...(await withPresets(layer, directory, [])));
  }
  const flag = (path: readonly Step[]) => FLAGS[dotted(path)] ?? 'command line';
  // The schema takes a while to load, and most servers are started with --client or without flags.
  const config = isClientOnly(flags) ? flags : (await import('./validate.js')).validate(flag, flags);
  layers.push(
    ...(await withPresets({ config, origin: (path) => ({ kind: 'flag', text: flag(path) }) }, directory, [])),
  );
  return mergeLayers(layers, found && resolve(found.file));
}

function isClientOnly({ qrexec: { client, ...more } = {}, ...rest }: ConfigFile): boolean {
  const isText = client === undefined || (typeof client === 'string' && client !== '');
  return isText && Object.keys(more).length + Object.keys(rest).length === 0;
}

/** The presets that a layer names, with the presets they name, followed by the layer. Paths are relative to `folder`. */
async function withPresets(layer: Layer, folder: string, chain: readonly string[]): Promise<Layer[]> {
  const { extends: named = [], ...rest } = layer.config;
  const layers: Layer[] = [];
  for (const [index, name] of [named].flat().entries()) {
    const at = layer.origin(Array.isArray(named) ? ['extends', index] : ['extends']).text;
    const isPath = name.startsWith('.') || isAbsolute(name);
    const preset = isPath ? resolve(folder, name) : presetFile(name);
    if (preset === undefined)
      throw new BadConfig(
        `${at}: extends: there is no preset ${JSON.stringify(name)}; ${suggestion(name, PRESETS)}, or start a path with ./`,
      );
    if (chain.includes(preset))
      throw new BadConfig(`${at}: extends: ${[...chain, preset].join(' extends ')}: remove one of them`);
    const found = await findConfig(folder, preset).catch((error: Error) => {
      throw error instanceof BadConfig && /: no such file$/.test(error.message)
        ? new BadConfig(`${at}: extends: ${error.message}; a preset is one of ${PRESETS.join(', ')}`)
        : error;
    });
    const { config, lineOf } = found!;
    const origin = (path: readonly Step[]): Origin => ({
      kind: 'preset',
      text: isPath ? `${preset}:${lineOf(path)}` : `preset ${name}`,
    });
    layers.push(...(await withPresets({ config, origin }, dirname(preset), [...chain, preset])));
  }
  return [...layers, { config: resolvePaths(rest, folder), origin: layer.origin }];
}

/** Takes every value from the last layer that has it. Tables are merged; lists are replaced. */
function mergeLayers(layers: readonly Layer[], file: string | undefined): Config {
  const origins = new Map<string, Origin>();
  const over = (below: unknown, above: unknown, path: readonly Step[], origin: Layer['origin']): unknown => {
    if (!isTable(above)) {
      const at = dotted(path);
      for (const old of origins.keys())
        if (old.startsWith(`${at}.`) || old.startsWith(`${at}[`)) origins.delete(old);
      origins.set(at, origin(path));
      if (Array.isArray(above))
        for (const index of above.keys()) origins.set(dotted([...path, index]), origin([...path, index]));
      return above;
    }
    const base = isTable(below) ? below : {};
    if (path.length > 0 && Object.keys(above).length === 0 && below === undefined)
      origins.set(dotted(path), origin(path));
    const keys = Object.entries(above).filter(([, value]) => value !== undefined);
    return {
      ...base,
      ...Object.fromEntries(
        keys.map(([key, value]) => [key, over(base[key], value, [...path, key], origin)]),
      ),
    };
  };
  let result: unknown = {};
  for (const { config, origin } of layers) {
    const { $schema: _, ...rest } = config;
    result = over(result, rest, [], origin);
  }
  return { ...(result as Omit<Config, 'file' | 'origins'>), file, origins };
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Resolves paths relative to the folder of the file they are in. */
function resolvePaths(config: ConfigFile, folder: string): ConfigFile {
  const fromFolder = (text: string) => (text.startsWith('.') ? resolve(folder, text) : text);
  return {
    ...config,
    ...(config.plugins && { plugins: config.plugins.map(fromFolder) }),
    ...(config.http && { http: resolveHttpPaths(config.http, fromFolder) }),
    ...(config.qrexec?.client && {
      qrexec: { ...config.qrexec, client: fromFolder(config.qrexec.client) },
    }),
  };
}

function resolveHttpPaths(
  http: NonNullable<ConfigFile['http']>,
  fromFolder: (text: string) => string,
): NonNullable<ConfigFile['http']> {
  const { tokenFile, oauth, tls } = http;
  return {
    ...http,
    ...(tokenFile !== undefined && { tokenFile: fromFolder(tokenFile) }),
    ...(oauth && { oauth: { ...oauth, jwks: fromFolder(oauth.jwks) } }),
    ...(tls && { tls: { certificate: fromFolder(tls.certificate), key: fromFolder(tls.key) } }),
  };
}
