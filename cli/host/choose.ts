import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Config, configuration } from '../../core/main.js';
import { asked, type HostFlags, type HostKind, type ServeFlags } from '../arguments/flags.js';
import { startSimulatedHost } from './simulated.js';

/** The host a command talks to, and how to let go of it. */
export interface ChosenHost {
  readonly kind: HostKind;
  /** The configuration, with the calls going to this host. */
  through(config: Config): Config;
  stop(): Promise<void>;
}

/** The host the flags ask for; without any, this machine if it is a qube, else a simulated one, saying so. */
export async function chooseHost({ host, world, client }: HostFlags): Promise<ChosenHost> {
  const kind = host ?? (client !== undefined || inPath('qrexec-client-vm') ? 'qubes' : 'sim');
  if (kind === 'qubes') return { kind, through: (config) => config, stop: async () => {} };
  if (host === undefined)
    process.stderr.write(
      `qmcp: no qrexec-client-vm in PATH, so this is a simulated host (world ${world}); --host qubes insists on a real one\n`,
    );
  const simulated = await startSimulatedHost({ world });
  const through = (config: Config): Config => ({
    ...config,
    qrexec: { ...config.qrexec, client: simulated.client },
    origins: new Map(config.origins).set('qrexec.client', { kind: 'flag', text: '--host sim' }),
  });
  return { kind, through, stop: simulated.stop };
}

/** Does something with the configuration and the host the flags ask for. A fault in the configuration starts no host. */
export async function onHost<T>(flags: ServeFlags, act: (config: Config) => Promise<T>): Promise<T> {
  const config = await configuration(asked(flags));
  const host = await chooseHost(flags);
  try {
    return await act(host.through(config));
  } finally {
    await host.stop();
  }
}

export function inPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    if (folder !== '' && executable(path)) return path;
  }
  return undefined;
}

export function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
