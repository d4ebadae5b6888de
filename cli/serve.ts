import { type Asked, configuration, start } from '../core/start.js';
import { chooseHost, type HostFlags } from './host.js';

export interface ServeFlags extends HostFlags {
  readonly config?: string;
  readonly preset?: readonly string[];
  readonly plugins?: readonly string[];
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly timeout?: number;
  readonly readOnly?: true;
  readonly onRefusal?: 'exit' | 'skip';
}

export async function serve(flags: ServeFlags): Promise<void> {
  // A configuration nobody can start from is found before a host is started for it.
  await configuration(asked(flags));
  const host = await chooseHost(flags);
  try {
    await start(await configuration(asked(flags, host.client)));
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
