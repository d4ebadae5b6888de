import { Bash, defineCommand, InMemoryFs, MountableFs } from 'just-bash';
import type { Command, CommandResult, Guest, GuestEngine, ServiceCall } from './guest.js';
import { SERVICES } from './services.js';

/** Users every qube has. */
const USERS: Readonly<Record<string, { uid: number; home: string }>> = {
  root: { uid: 0, home: '/root' },
  user: { uid: 1000, home: '/home/user' },
};

/** What of a qube outlives a restart: the private volume. */
interface PrivateVolume {
  readonly home: InMemoryFs;
  readonly rw: InMemoryFs;
}

/** Guests without a process: a shell and a file system in memory, the same on every machine. */
export class MemoryEngine implements GuestEngine {
  private readonly volumes = new Map<string, PrivateVolume>();

  async start({ name }: { name: string }): Promise<Guest> {
    const volume = this.volumes.get(name) ?? { home: new InMemoryFs(), rw: new InMemoryFs() };
    this.volumes.set(name, volume);
    return MemoryGuest.boot(name, volume);
  }

  forget(name: string): void {
    this.volumes.delete(name);
  }
}

class MemoryGuest implements Guest {
  private readonly stopped = new AbortController();

  private constructor(
    private readonly name: string,
    private readonly fs: MountableFs,
  ) {}

  /** The root file system is the template's and starts afresh; /home and /rw are the qube's own. */
  static async boot(name: string, { home, rw }: PrivateVolume): Promise<MemoryGuest> {
    const base = new InMemoryFs({
      '/etc/hostname': `${name}\n`,
      '/etc/passwd':
        'root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000:user:/home/user:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    });
    const fs = new MountableFs({
      base,
      mounts: [
        { mountPoint: '/home', filesystem: home },
        { mountPoint: '/rw', filesystem: rw },
      ],
    });
    for (const directory of ['/home/user', '/root', '/tmp', '/var/tmp', '/rw/config'])
      await fs.mkdir(directory, { recursive: true });
    return new MemoryGuest(name, fs);
  }

  async serve(call: ServiceCall): Promise<number | undefined> {
    const service = SERVICES[call.service];
    if (service === undefined) return undefined;
    const signal = AbortSignal.any([call.signal, this.stopped.signal]);
    return service(this, { ...call, signal });
  }

  async run({ command, user, cwd, env, stdin, signal }: Command): Promise<CommandResult> {
    const account = USERS[user];
    if (account === undefined) return failure(126, `${user}: no such user\n`);
    const where = cwd ?? account.home;
    if (!(await this.isDirectory(where))) return failure(126, `${where}: no such directory\n`);
    const [line, args] =
      typeof command === 'string' ? [command, undefined] : [quoted(command[0]!), command.slice(1)];
    const shell = new Bash({
      fs: this.fs,
      cwd: where,
      env: { HOME: account.home, USER: user, LOGNAME: user, PATH: '/usr/local/bin:/usr/bin:/bin', ...env },
      processInfo: { pid: 1, uid: account.uid, gid: account.uid },
      customCommands: identity(user, account.uid, this.name),
      executionLimits: { maxCommandCount: 10_000_000, maxLoopIterations: 10_000_000 },
    });
    const ended = AbortSignal.any([this.stopped.signal, ...(signal ? [signal] : [])]);
    const { stdout, stderr, exitCode, stdoutKind } = await shell.exec(line, {
      rawScript: true,
      signal: ended,
      ...(args && { args: [...args] }),
      ...(stdin && { stdin: Buffer.from(stdin).toString('latin1'), stdinKind: 'bytes' as const }),
    });
    if (ended.aborted)
      return { exit: 137, stdout: new Uint8Array(), stderr: new Uint8Array(), aborted: true };
    return {
      exit: exitCode,
      stdout: bytesOf(stdout, stdoutKind),
      stderr: Buffer.from(stderr, 'utf8'),
      aborted: false,
    };
  }

  async stop(): Promise<void> {
    this.stopped.abort();
  }

  private async isDirectory(path: string): Promise<boolean> {
    try {
      return (await this.fs.stat(path)).isDirectory;
    } catch {
      return false;
    }
  }
}

const failure = (exit: number, message: string): CommandResult => ({
  exit,
  stdout: new Uint8Array(),
  stderr: Buffer.from(message),
  aborted: false,
});

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** The shell gives bytes as Latin-1 text, unless it says that it gives text. */
function bytesOf(output: string, kind: string | undefined): Uint8Array {
  const isBytes = kind === 'bytes' || ![...output].some((character) => character > '\xff');
  return isBytes ? Buffer.from(output, 'latin1') : Buffer.from(output, 'utf8');
}

/** The commands by which a program learns who and where it is. */
function identity(user: string, uid: number, hostname: string) {
  const says = (name: string, text: string) =>
    defineCommand(name, async () => ({ stdout: `${text}\n`, stderr: '', exitCode: 0 }));
  return [
    says('whoami', user),
    says('id', `uid=${uid}(${user}) gid=${uid}(${user}) groups=${uid}(${user})`),
    says('hostname', hostname),
  ];
}
