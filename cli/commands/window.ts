/** Opens the operator's window on a simulated host: the same files that dom0 gets. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { python } from '../../sim/python.js';
import { startSimulatedHost } from '../host/simulated.js';
import { PACKAGE } from '../shipped/package.js';

/** The interpreter for which distributions package PyGObject. */
const PACKAGED = '/usr/bin/python3';
const PROBE = 'import gi; gi.require_version("Gtk", "3.0"); from gi.repository import Gtk';

export interface WindowFlags {
  readonly world: string;
  readonly dir?: string;
}

export async function window({ world, dir }: WindowFlags): Promise<void> {
  const interpreter = [python(), PACKAGED].find((one) => spawnSync(one, ['-c', PROBE]).status === 0);
  if (interpreter === undefined)
    throw new Error(
      `the window needs PyGObject and GTK 3 for ${python()} or ${PACKAGED}: on Debian, apt install python3-gi gir1.2-gtk-3.0`,
    );
  const host = await startSimulatedHost({ world, dir, quiet: true });
  try {
    process.stdout.write(
      `The window shows the simulated host in ${host.dir}. To act as an agent there: qmcp serve --client ${host.client}\n`,
    );
    const admin = `${python()} -B ${join(PACKAGE, 'dom0/operator/qmcp-admin')}`;
    const words = ['-B', join(PACKAGE, 'dom0/window/qmcp-window'), '--root', join(host.dir, 'dom0')];
    const child = spawn(interpreter, [...words, '--admin', admin], { stdio: 'inherit' });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`the window ended with ${code ?? 'a signal'}`);
  } finally {
    await host.stop();
  }
}
