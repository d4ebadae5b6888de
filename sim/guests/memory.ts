import { Bash, MountableFs } from 'just-bash';
import { commandsOf } from './commands.js';
import type { Command, CommandResult, Guest, GuestEngine, QubeToStart, ServiceCall } from './guest.js';
import { fetchFrom, type Outside } from './outside.js';
import { type MemoryService, SERVICES } from './services.js';
import { Volumes } from './volumes.js';

/** Users every qube has. */
export const USERS: Readonly<Record<string, { uid: number; home: string }>> = {
  root: { uid: 0, home: '/root' },
  user: { uid: 1000, home: '/home/user' },
};

/** Directories a shell may rely on. */
const LAYOUT = ['/home/user', '/root', '/tmp', '/var/tmp', '/rw/config'];

/** Guests without a process: a shell and a file system in memory, the same on every machine. */
export class MemoryEngine implements GuestEngine {
  private readonly volumes: Volumes;

  constructor(
    private readonly outside?: Outside,
    templateOf: (name: string) => string | null = () => null,
    /** Services beyond those every qube has. */
    private readonly services: Readonly<Record<string, MemoryService>> = {},
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
    for (const directory of LAYOUT) await fs.mkdir(directory, { recursive: true });
    return new MemoryGuest(qube.name, fs, this.outside, this.services);
  }

  import(to: { qube: string; volume: string }, from: { qube: string; volume: string } | null): Promise<void> {
    return this.volumes.import(to, from);
  }

  forget(name: string): void {
    this.volumes.forget(name);
  }
}

export class MemoryGuest implements Guest {
  private readonly stopped = new AbortController();

  constructor(
    readonly name: string,
    readonly fs: MountableFs,
    private readonly outside: Outside | undefined,
    private readonly services: Readonly<Record<string, MemoryService>> = {},
  ) {}

  async serve(call: ServiceCall): Promise<number | undefined> {
    const service = SERVICES[call.service] ?? this.services[call.service];
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
      customCommands: commandsOf({ name: this.name, user, uid: account.uid, outside: this.outside }),
      executionLimits: { maxCommandCount: 10_000_000, maxLoopIterations: 10_000_000 },
      ...(this.outside && { fetch: fetchFrom(this.outside, this.name) }),
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
