import type { MountableFs } from 'just-bash';
import { USERS } from './accounts.js';
import type { Disk } from './disk.js';
import { Jobs } from './exec-run.js';
import type { Command, CommandResult, Guest, ServiceCall } from './guest.js';
import { LinuxFiles } from './linux-files.js';
import type { GuestNetwork } from './outside.js';
import { ProcessTable } from './process-table.js';
import { quoted } from './program.js';

/** A service of the in-memory guests. Resolves with the exit code. */
export type MemoryService = (guest: MemoryGuest, call: ServiceCall) => Promise<number>;

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** The exit code of a shell for a command that it cannot start. */
const CANNOT_START = 126;

export class MemoryGuest implements Guest {
  readonly jobs = new Jobs();
  private readonly processes = new ProcessTable();
  private readonly stopped = new AbortController();

  constructor(
    readonly name: string,
    readonly fs: MountableFs,
    private readonly disk: Disk,
    readonly outside: GuestNetwork | undefined,
    private readonly serviceOf: (name: string) => MemoryService | undefined,
  ) {}

  /** The files as a user has them. */
  filesOf(uid: number): LinuxFiles {
    return new LinuxFiles(this.fs, uid, this.disk);
  }

  async serve(call: ServiceCall): Promise<number | undefined> {
    const service = this.serviceOf(call.service);
    if (service === undefined) return undefined;
    const signal = AbortSignal.any([call.signal, this.stopped.signal]);
    return service(this, { ...call, signal });
  }

  async run({ command, user, cwd, env, stdin, signal, onOutput: listener }: Command): Promise<CommandResult> {
    const chunks = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
    const onOutput =
      listener ?? ((stream: 'stdout' | 'stderr', bytes: Uint8Array) => chunks[stream].push(bytes));
    const resultOf = (exit: number, aborted = false): CommandResult => ({
      exit,
      stdout: Buffer.concat(chunks.stdout),
      stderr: Buffer.concat(chunks.stderr),
      aborted,
    });
    const cannot = (why: string) => {
      onOutput('stderr', Buffer.from(`${why}\n`));
      return resultOf(CANNOT_START);
    };
    const account = USERS[user];
    if (account === undefined) return cannot(`${user}: no such user`);
    const files = this.filesOf(account.uid);
    const where = cwd === undefined ? account.home : this.fs.resolvePath(account.home, cwd);
    if (!(await isDirectory(files, where))) return cannot(`${where}: no such directory`);
    const line = typeof command === 'string' ? command : command.map(quoted).join(' ');
    const end = await this.processes.run(
      {
        ...{ line, name: this.name, user, uid: account.uid, cwd: where, stdin },
        env: {
          HOME: account.home,
          USER: user,
          LOGNAME: user,
          SHELL: '/bin/bash',
          PATH,
          LANG: 'C.UTF-8',
          ...env,
        },
        hasNetwork: this.outside !== undefined,
      },
      { files, fs: this.fs, network: this.outside, onOutput },
      AbortSignal.any([this.stopped.signal, ...(signal ? [signal] : [])]),
    );
    return { ...resultOf(end.exit, end.aborted), signal: end.signal };
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    this.processes.stop();
  }
}

async function isDirectory(files: LinuxFiles, path: string): Promise<boolean> {
  try {
    return (await files.stat(path)).isDirectory;
  } catch {
    return false;
  }
}
