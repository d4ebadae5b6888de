import { readFileSync } from 'node:fs';
import type { At } from '../../core/main.js';
import { type Asked, configuration, start } from '../../core/start.js';
import { UsageError } from '../arguments/input.js';
import { chooseHost, type HostFlags } from '../host/choose.js';

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

export async function serve(flags: ServeFlags): Promise<void> {
  // A configuration nobody can start from is found before a host is started for it.
  await configuration(asked(flags));
  const host = await chooseHost(flags);
  try {
    const config = await configuration(asked(flags, host.client));
    if (flags.http === undefined) await start(config);
    else await (await import('../../core/main.js')).serveOverHttp(config, at(flags.http, flags.tokenFile));
  } finally {
    await host.stop();
  }
}

/** What the command line says of the configuration. */
export function asked(flags: Omit<ServeFlags, 'world'>, client?: string): Asked {
  const { config, preset, plugins, include, exclude, timeout, readOnly, onRefusal } = flags;
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
      ...((client !== undefined || timeout !== undefined) && {
        qrexec: { ...(client !== undefined && { client }), ...(timeout !== undefined && { timeout }) },
      }),
    },
  };
}

function at({ host, port }: { host: string; port: number }, file?: string): At {
  if (file === undefined) return { host, port, token: undefined };
  const token = readFileSync(file, 'utf8').trim();
  if (!/^[\x21-\x7e]{16,}$/.test(token))
    throw new UsageError(
      `${file}: a token is 16 or more visible characters on one line, as of: openssl rand -hex 32`,
    );
  return { host, port, token };
}
