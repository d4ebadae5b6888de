/** How a service is to be called: the files of rpc-config, in the small part of TOML that the platform reads. */

export interface RpcConfig {
  readonly skipServiceDescriptor: boolean;
  readonly exitOnClientEof: boolean;
}

/** The settings of a service without a file. */
export const DEFAULTS: RpcConfig = { skipServiceDescriptor: false, exitOnClientEof: false };

type Kind = 'boolean' | 'string';

const KEYS: Readonly<Record<string, readonly Kind[]>> = {
  'skip-service-descriptor': ['boolean'],
  'exit-on-client-eof': ['boolean'],
  'exit-on-service-eof': ['boolean'],
  'wait-for-session': ['boolean'],
  'force-user': ['string'],
};

const LINE = /^([A-Za-z][A-Za-z0-9._-]*)[ \t]*=[ \t]*(0|[1-9][0-9]*|true|false|'(?!'')[^']*')[ \t]*(?:#.*)?$/;

/** Undefined for an invalid file: its service cannot be called then. */
export function parseRpcConfig(text: string): RpcConfig | undefined {
  const seen = new Map<string, string>();
  for (const raw of text.split('\n')) {
    const line = raw.replace(/\r$/, '').replace(/(?<=.)[ \t]+$/, '');
    if (line === '' || line.startsWith('#')) continue;
    const [, key, value] = LINE.exec(line) ?? [];
    if (key === undefined || value === undefined) return undefined;
    const kinds = KEYS[key];
    if (kinds === undefined) continue;
    if (seen.has(key) || !kinds.includes(kindOf(key, value)!)) return undefined;
    seen.set(key, value);
  }
  const config = {
    skipServiceDescriptor: seen.get('skip-service-descriptor') === 'true',
    exitOnClientEof: seen.get('exit-on-client-eof') === 'true',
  };
  const notAsAUser =
    config.skipServiceDescriptor || config.exitOnClientEof || seen.get('exit-on-service-eof') === 'true';
  return seen.has('force-user') && notAsAUser ? undefined : config;
}

function kindOf(key: string, value: string): Kind | undefined {
  if (value.startsWith("'")) return 'string';
  if (value === 'true' || value === 'false') return 'boolean';
  // The one key that was a number in older releases.
  return key === 'wait-for-session' && (value === '0' || value === '1') ? 'boolean' : undefined;
}
