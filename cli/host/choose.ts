import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Config, configuration } from '../../core/main.js';
import { configFromFlags, type HostFlags, type HostKind, type ServeFlags } from '../arguments/flags.js';
import { startSimulatedHost } from './simulated.js';

/** The host that a command calls. */
export interface ChosenHost {
  readonly kind: HostKind;
  /** The same configuration, with the qrexec client of this host. */
  through(config: Config): Config;
  stop(): Promise<void>;
}

/** Chooses the host from the flags. Without flags: this machine if it is a qube, otherwise a simulated host, with a line that says so. */
export async function chooseHost({ host, world, client }: HostFlags): Promise<ChosenHost> {
  const kind = host ?? (client !== undefined || inPath('qrexec-client-vm') ? 'qubes' : 'sim');
  if (kind === 'qubes') return { kind, through: (config) => config, stop: async () => {} };
  if (host === undefined)
    process.stderr.write(
      `qmcp: no qrexec-client-vm in PATH, so this runs on a simulated host (world ${world}); to require a real host, add --host qubes\n`,
    );
  const simulated = await startSimulatedHost({ world });
  const through = (config: Config): Config => ({
    ...config,
    qrexec: { ...config.qrexec, client: simulated.client },
    origins: new Map(config.origins).set('qrexec.client', { kind: 'flag', text: '--host sim' }),
  });
  return { kind, through, stop: simulated.stop };
}

/**
 * Resolves the configuration, chooses the host and calls `act`. A fault in the configuration, or one that `check` finds, is found
 * before a host starts.
 */
export async function onHost<T>(
  flags: ServeFlags,
  act: (config: Config) => Promise<T>,
  check: (config: Config) => Promise<void> = async () => {},
): Promise<T> {
  const config = await configuration(configFromFlags(flags));
  await check(config);
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
