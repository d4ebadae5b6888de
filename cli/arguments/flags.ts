import type { ConfigSources } from '../../core/main.js';

export type HostKind = 'sim' | 'qubes';

/** Which host a command calls. */
export interface HostFlags {
  readonly host?: HostKind;
  readonly world: string;
  readonly client?: string;
}

export interface ServeFlags extends HostFlags {
  readonly config?: string;
  readonly preset?: readonly string[];
  readonly plugins?: readonly string[];
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly timeout?: number;
  readonly readOnly?: true;
  readonly onRefusal?: 'exit' | 'skip';
  /** Over HTTP instead of standard input and output: `[HOST:]PORT`. */
  readonly http?: { readonly host: string; readonly port: number };
  readonly tokenFile?: string;
}

/** The part of the configuration that the command line sets. */
export function configFromFlags(flags: Omit<ServeFlags, 'world'>): ConfigSources {
  const { client, config, preset, plugins, include, exclude, timeout, readOnly, onRefusal, tokenFile } =
    flags;
  return {
    file: config,
    flags: {
      ...(preset && { extends: [...preset] }),
      ...(plugins && { plugins: [...plugins] }),
      ...(readOnly && { readOnly }),
      ...(onRefusal && { onRefusal }),
      ...((include || exclude) && {
        tools: { ...(include && { include: [...include] }), ...(exclude && { exclude: [...exclude] }) },
      }),
      ...(tokenFile !== undefined && { http: { tokenFile } }),
      ...((client !== undefined || timeout !== undefined) && {
        qrexec: { ...(client !== undefined && { client }), ...(timeout !== undefined && { timeout }) },
      }),
    },
  };
}
