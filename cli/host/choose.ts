import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { startSimulatedHost } from './simulated.js';

export type HostKind = 'sim' | 'qubes';

/** The host a command talks to: how to reach it, and how to let go of it. */
export interface ChosenHost {
  readonly kind: HostKind;
  /** The qrexec client to use, or undefined for whatever the configuration says. */
  readonly client: string | undefined;
  stop(): Promise<void>;
}

export interface HostFlags {
  readonly host?: HostKind;
  readonly world: string;
  readonly client?: string;
}

/** The host the flags ask for; without any, this machine if it is a qube, else a simulated one, saying so. */
export async function chooseHost({ host, world, client }: HostFlags): Promise<ChosenHost> {
  const kind = host ?? (client !== undefined || inPath('qrexec-client-vm') ? 'qubes' : 'sim');
  if (kind === 'qubes') return { kind, client, stop: async () => {} };
  if (host === undefined)
    process.stderr.write(
      `qmcp: no qrexec-client-vm in PATH, so this is a simulated host (world ${world}); --host qubes insists on a real one\n`,
    );
  const simulated = await startSimulatedHost({ world });
  return { kind, client: simulated.client, stop: simulated.stop };
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
