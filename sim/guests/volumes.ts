import { InMemoryFs } from 'just-bash';
import { commandNames } from './commands.js';
import type { QubeToStart } from './guest.js';

interface PrivateVolume {
  readonly home: InMemoryFs;
  readonly rw: InMemoryFs;
}

const PASSWD =
  'root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000:user:/home/user:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n';

const OS_RELEASE =
  'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n';

/**
 * The disks of qubes in memory. A template or a standalone has its own root; an app qube starts with a copy of its template's,
 * and its changes there are lost when it stops. The private volume (/home, /rw) is the qube's own; a disposable starts with a
 * copy of its template's.
 */
export class Volumes {
  private readonly roots = new Map<string, InMemoryFs>();
  private readonly privates = new Map<string, PrivateVolume>();

  constructor(private readonly templateOf: (name: string) => string | null) {}

  async forStart({
    name,
    template,
    class: qubeClass,
  }: QubeToStart): Promise<PrivateVolume & { root: InMemoryFs }> {
    if (qubeClass === 'TemplateVM' || qubeClass === 'StandaloneVM')
      return { root: this.root(name), ...this.private(name) };
    if (qubeClass === 'DispVM' && template !== null) {
      const { home, rw } = this.private(template);
      const root = await copyOf(this.root(this.templateOf(template) ?? template));
      return { root, home: await copyOf(home), rw: await copyOf(rw) };
    }
    return { root: await copyOf(this.root(template ?? name)), ...this.private(name) };
  }

  /** A volume's contents were replaced by another's or by an empty one. */
  async import(
    to: { qube: string; volume: string },
    from: { qube: string; volume: string } | null,
  ): Promise<void> {
    if (to.volume === 'root')
      this.roots.set(to.qube, from === null ? freshRoot() : await copyOf(this.root(from.qube)));
    if (to.volume !== 'private') return;
    const source = from === null ? undefined : this.private(from.qube);
    this.privates.set(to.qube, {
      home: source ? await copyOf(source.home) : new InMemoryFs(),
      rw: source ? await copyOf(source.rw) : new InMemoryFs(),
    });
  }

  forget(name: string): void {
    this.roots.delete(name);
    this.privates.delete(name);
  }

  private root(name: string): InMemoryFs {
    return kept(this.roots, name, freshRoot);
  }

  private private(name: string): PrivateVolume {
    return kept(this.privates, name, () => ({ home: new InMemoryFs(), rw: new InMemoryFs() }));
  }
}

/** Every command is a file, as in a template: a path finds it, and a program of the same name in another directory hides nothing else. */
const COMMAND = { content: '#!/bin/sh\n', mode: 0o755 };

const DEVICE = { content: '', mode: 0o666 };

function freshRoot(): InMemoryFs {
  const root = new InMemoryFs({
    '/etc/passwd': PASSWD,
    '/etc/group': 'root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n',
    '/etc/os-release': OS_RELEASE,
    ...Object.fromEntries(
      ['null', 'zero', 'full', 'random', 'urandom'].map((name) => [`/dev/${name}`, DEVICE]),
    ),
    '/proc/version': 'Linux version 6.12.59-1.qubes.fc41.x86_64\n',
    '/proc/uptime': '60.00 100.00\n',
    '/proc/meminfo': 'MemTotal:         400000 kB\nMemFree:          200000 kB\n',
    ...Object.fromEntries(commandNames().map((name) => [`/usr/bin/${name}`, COMMAND])),
  });
  for (const directory of ['/usr/local/bin', '/usr/sbin', '/opt', '/run'])
    root.mkdirSync(directory, { recursive: true });
  return root;
}

function kept<T>(map: Map<string, T>, name: string, make: () => T): T {
  const value = map.get(name) ?? make();
  map.set(name, value);
  return value;
}

async function copyOf(from: InMemoryFs): Promise<InMemoryFs> {
  const to = new InMemoryFs();
  for (const path of from.getAllPaths().sort()) {
    const { isDirectory, isSymbolicLink, mode } = await from.lstat(path);
    if (isDirectory) to.mkdirSync(path, { recursive: true });
    else if (isSymbolicLink) await to.symlink(await from.readlink(path), path);
    else to.writeFileSync(path, await from.readFileBuffer(path), undefined, { mode });
  }
  return to;
}
