/**
 * A qube as a real sandbox: bubblewrap's namespaces (no network, separate processes) around a root in memory, the machine's
 * programs read-only, and the qube's own /home and /rw. It exists from `open` to `kill`, and every process in it ends with its
 * first one: the kernel guarantees this.
 */
import { spawn } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { python } from '../python.js';
import { packageFile } from '../root.js';
import { qubesdbRead } from './qubesdb.js';

/** The guest package's path inside: /usr is the machine's own and read-only, so it cannot be /usr/lib/qmcp. */
const PACKAGE = '/opt/qmcp';
/** The folder inside with the platform's programs that a qube has in /usr/bin. */
export const PROGRAMS = '/opt/qubes';
/** The path inside of an interpreter that the machine does not have in /usr. */
const PYTHON = '/opt/python';

/**
 * The usual capabilities of root in a container. Without these, it could not chown or become `user`; with more, it could undo
 * its mounts.
 */
const CAPABILITIES = ['chown', 'dac_override', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid'];

/** Enough for bwrap and nsenter, and nothing of our own environment: a guest can read that of its first process. */
export const HOST_ENV = { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin' };

/**
 * Root on the machine can map several accounts into the sandbox: `root` and `user` are two users. Anyone else can map only their
 * own: then both names stand for one account (uid 1000), and everything outside /usr belongs to it.
 */
export interface Accounts {
  readonly passwd: string;
  readonly bwrap: readonly string[];
  /** Written to uid_map and gid_map from outside; null if bwrap does it itself. */
  readonly map: string | null;
  /** The words before a program that run it as this user. */
  readonly becomeUser: (user: string) => readonly string[];
}

const TWO: Accounts = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n',
  bwrap: [
    ...['--userns-block-fd', '5', '--dev', '/dev', '--cap-drop', 'ALL'],
    ...CAPABILITIES.flatMap((name) => ['--cap-add', `CAP_${name.toUpperCase()}`]),
  ],
  map: '0 0 1\n1000 1000 1\n65534 65534 1\n',
  becomeUser: (user) => [
    ...['setpriv', '--no-new-privs', '--inh-caps=-all'],
    `--bounding-set=-all,${CAPABILITIES.map((name) => `+${name}`).join(',')}`,
    ...['--reuid', user, '--regid', user, '--init-groups', '--'],
  ],
};

/**
 * bwrap's own /dev would need a second user namespace, which nobody can enter from outside; so the device files are bound one by
 * one.
 */
const ONE: Accounts = {
  passwd: 'user:x:1000:1000:user:/home/user:/bin/sh\nroot:x:1000:1000:root:/root:/bin/sh\n',
  bwrap: [
    ...['--uid', '1000', '--gid', '1000', '--cap-drop', 'ALL', '--tmpfs', '/dev', '--dir', '/dev/shm'],
    ...['null', 'zero', 'full', 'random', 'urandom', 'tty'].flatMap((name) => [
      ...['--dev-bind', `/dev/${name}`, `/dev/${name}`],
    ]),
    ...['fd', 'fd/0', 'fd/1', 'fd/2'].flatMap((path, at) => [
      ...['--symlink', `/proc/self/${path}`, `/dev/${['fd', 'stdin', 'stdout', 'stderr'][at]}`],
    ]),
  ],
  map: null,
  becomeUser: () => ['setpriv', '--no-new-privs', '--'],
};

export const accounts: Accounts = process.geteuid?.() === 0 && hasEveryUser() ? TWO : ONE;

function hasEveryUser(): boolean {
  const [inside, outside, count] = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/).map(Number);
  return inside === 0 && outside === 0 && count! > 65_534;
}

/** The first process: it prepares the root, reports that it is ready, and from then on only reaps ended processes. */
const INIT = `
exec 3>&- 4>&- 5>&-
set -e
umask 022
mkdir -p ${PROGRAMS} /etc/qubes-rpc /root /rw/config /tmp /var/tmp /var/log /run
chmod 755 /etc /opt ${PACKAGE}
chmod 1777 /tmp /var/tmp
chmod 700 /root
[ -e /home/user ] || { mkdir /home/user; chown 1000:1000 /home/user; }
printf '%s\\n' "$1" > /etc/hostname
printf '127.0.0.1 localhost %s\\n' "$1" > /etc/hosts
cat > /etc/passwd <<'END'
${accounts.passwd}nobody:x:65534:65534:nobody:/:/bin/false
END
printf '%s\\n' root:x:0: user:x:1000: nogroup:x:65534: > /etc/group
for service in ${PACKAGE}/qubes-rpc/*; do
  sed "s,/usr/lib/qmcp,${PACKAGE},; s,/usr/bin/python3,$2," "$service" > "/etc/qubes-rpc/\${service##*/}"
done
for shell in qubes.VMShell qubes.VMRootShell; do
  printf '#!/bin/sh\\nexec /bin/sh\\n' > "/etc/qubes-rpc/$shell"
done
printf '%s' "$3" > ${PROGRAMS}/qubesdb-read
chmod 755 /etc/qubes-rpc/* ${PROGRAMS} ${PROGRAMS}/*
echo up
exec > /dev/null 2>&1
set +e
while :; do sleep 3600 & wait $!; done
`;

export class Sandbox {
  private constructor(
    private readonly pid: number,
    /** Resolves when no process of the sandbox is left. */
    readonly ended: Promise<void>,
    private readonly isOver: () => boolean,
  ) {}

  /** `disk` has the qube's /home and /rw. */
  static async open(name: string, disk: string): Promise<Sandbox> {
    for (const directory of ['home', 'rw']) mkdirSync(join(disk, directory), { recursive: true });
    const { program, folder } = pythonInside();
    const words = argumentsOf(name, disk, folder);
    // Arguments go through a pipe: on the command line, every guest could read the machine's paths in /proc.
    const forInit = [name, program, qubesdbRead(name)];
    const bwrap = spawn('bwrap', ['--args', '3', '--', '/bin/sh', '-s', '--', ...forInit], {
      cwd: '/',
      env: HOST_ENV,
      stdio: Array.from({ length: accounts.map === null ? 5 : 6 }, () => 'pipe' as const),
    });
    const [stdin, args, release] = [0, 3, 5].map((at) => bwrap.stdio[at] as Writable | undefined);
    const [stdout, stderr, info] = [1, 2, 4].map((at) => bwrap.stdio[at] as Readable);
    for (const stream of [stdin, args, release]) stream?.on('error', () => {});
    args!.end(words.join('\0'));
    stdin!.end(INIT);

    let complaint = '';
    stderr!.on('data', (chunk: Buffer) => {
      complaint += chunk;
    });
    bwrap.once('error', (error) => {
      complaint += error.message;
    });
    let hasEnded = false;
    const ended = new Promise<void>((resolve) => bwrap.once('close', () => resolve())).then(() => {
      hasEnded = true;
    });
    const failed = ended.then(() => {
      throw new Error(`the sandbox of ${name} did not start: ${complaint.trim()}`);
    });
    failed.catch(() => {});
    let sandbox: Sandbox | undefined;
    try {
      const first = JSON.parse(await Promise.race([until(info!, '}'), failed])) as { 'child-pid': number };
      sandbox = new Sandbox(first['child-pid'], ended, () => hasEnded);
      if (accounts.map !== null) {
        for (const file of ['uid_map', 'gid_map'])
          writeFileSync(`/proc/${sandbox.pid}/${file}`, accounts.map);
        release!.end('.');
      }
      await Promise.race([until(stdout!, 'up\n'), failed]);
      return sandbox;
    } catch (error) {
      sandbox?.kill();
      bwrap.kill('SIGKILL');
      throw error;
    }
  }

  /** The words that run a program inside as this user. */
  enter(user: string, words: readonly string[]): readonly string[] {
    const spaces = ['--user', '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup'];
    const target = ['--target', String(this.pid), ...spaces, '--preserve-credentials'];
    return ['nsenter', ...target, '--', ...accounts.becomeUser(user), ...words];
  }

  kill(): void {
    // Once bwrap has ended, another process may have the number.
    if (this.isOver()) return;
    try {
      process.kill(this.pid, 'SIGKILL');
    } catch {
      // It ended by itself just now.
    }
  }

  get over(): boolean {
    return this.isOver();
  }
}

function argumentsOf(name: string, disk: string, pythonFolder: string | undefined): string[] {
  const readable = [packageFile('guest/qmcp_guest'), packageFile('guest/qubes-rpc')];
  return [
    ...[
      '--unshare-user',
      '--unshare-all',
      '--hostname',
      name,
      '--die-with-parent',
      '--new-session',
      '--clearenv',
    ],
    ...['--as-pid-1', '--info-fd', '4', '--setenv', 'PATH', '/usr/sbin:/usr/bin:/sbin:/bin'],
    ...['--ro-bind', '/usr', '/usr', '--ro-bind-try', '/etc/alternatives', '/etc/alternatives'],
    ...['--ro-bind-try', '/etc/os-release', '/etc/os-release'],
    ...['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'].flatMap((path) => {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined) return [];
      return found.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
    }),
    ...(pythonFolder === undefined ? [] : ['--ro-bind', pythonFolder, PYTHON]),
    ...readable.flatMap((path) => [
      '--ro-bind',
      path,
      join(PACKAGE, path.slice(packageFile('guest').length)),
    ]),
    ...['--bind', join(disk, 'home'), '/home', '--bind', join(disk, 'rw'), '/rw', '--proc', '/proc'],
    ...kernelFiles().flatMap((path) => ['--ro-bind', path, path]),
    ...accounts.bwrap,
  ];
}

/**
 * The writable parts of /proc that belong to the whole machine. If the machine's root runs us, root inside is the same user to
 * the kernel (without capabilities): the mode of /proc/sys/kernel/core_pattern would let it choose a program that the machine
 * then runs outside.
 */
function kernelFiles(): string[] {
  return readdirSync('/proc')
    .filter((name) => !/^\d+$/.test(name))
    .map((name) => join('/proc', name))
    .filter((path) => {
      const found = lstatSync(path);
      return found.isDirectory() || (found.isFile() && (found.mode & 0o222) !== 0);
    });
}

/**
 * The interpreter inside the sandbox, and the folder with it. One below /usr is already there. Any other is bound to a path that
 * shows nothing of the machine's paths, with its library beside it. The one of a virtual environment is a link to such an
 * interpreter.
 */
function pythonInside(): { readonly program: string; readonly folder?: string } {
  const program = realpathSync(python());
  if (/^\/(usr|bin|sbin)\//.test(program)) return { program };
  return { program: join(PYTHON, 'bin', basename(program)), folder: dirname(dirname(program)) };
}

function until(stream: Readable, mark: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk;
      if (text.includes(mark)) resolve(text);
    });
  });
}
