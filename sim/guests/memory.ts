import { MountableFs } from 'just-bash';
import { Disk } from './disk.js';
import type { Guest, GuestEngine, QubeToStart } from './guest.js';
import { MemoryGuest, type MemoryService } from './memory-guest.js';
import type { GuestNetwork } from './outside.js';
import { SERVICES } from './services.js';
import { Volumes } from './volumes.js';

/** Directories that a shell expects. */
const LAYOUT = ['/home/user', '/root', '/tmp', '/var/tmp', '/rw/config'];

/** Guests without a process: a shell and a file system in memory, the same on every machine. */
export class MemoryEngine implements GuestEngine {
  private readonly volumes: Volumes;

  constructor(
    private readonly outside?: GuestNetwork,
    templateOf: (name: string) => string | null = () => null,
    /** Services in addition to those of every qube. */
    private readonly services: Readonly<Record<string, MemoryService>> = {},
    /** Bytes of all files of one guest. A real disk is larger; these files are in the memory of the simulated host. */
    private readonly disk = 128 << 20,
  ) {
    this.volumes = new Volumes(templateOf);
  }

  async start(qube: QubeToStart): Promise<Guest> {
    const { root, home, rw } = await this.volumes.forStart(qube);
    root.writeFileSync('/etc/hostname', `${qube.name}\n`);
    const fs = new MountableFs({
      base: root,
      mounts: [
        { mountPoint: '/home', filesystem: home },
        { mountPoint: '/rw', filesystem: rw },
      ],
    });
    for (const name of ['bin', 'sbin'])
      if (!(await fs.exists(`/${name}`))) await fs.symlink(`usr/${name}`, `/${name}`);
    for (const directory of LAYOUT) await fs.mkdir(directory, { recursive: true });
    const disk = new Disk(fs, this.disk);
    return new MemoryGuest(
      qube.name,
      fs,
      disk,
      this.outside,
      (name) => SERVICES[name] ?? this.services[name],
    );
  }

  import(to: { qube: string; volume: string }, from: { qube: string; volume: string } | null): Promise<void> {
    return this.volumes.import(to, from);
  }

  forget(name: string): void {
    this.volumes.forget(name);
  }
}
