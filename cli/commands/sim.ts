import { once } from 'node:events';
import { startSimulatedHost } from '../host/simulated.js';

export interface SimulateFlags {
  readonly world: string;
  readonly dir?: string;
  readonly api?: string;
  readonly guests?: string;
  readonly seed?: string;
  readonly source?: string;
}

export async function simulate({ world, dir, ...rest }: SimulateFlags): Promise<void> {
  const more = Object.entries(rest).flatMap(([flag, value]) => [`--${flag}`, value]);
  const host = await startSimulatedHost({ world, dir, more });
  process.stdout.write(
    [
      `A simulated host is running in ${host.dir} (world ${world}). Ctrl-C ends it.`,
      `  call dom0:       echo '{}' | ${host.client} @adminvm qmcp.inspect.List`,
      `  serve MCP:       qmcp serve --client ${host.client}`,
      `  act as operator: qmcp sim ctl --dir ${host.dir}`,
      `  read the log:    qmcp-admin --root ${host.dir}/dom0 audit tail`,
      '',
    ].join('\n'),
  );
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await host.stop();
}
