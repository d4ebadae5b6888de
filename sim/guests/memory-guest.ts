import type { MountableFs } from 'just-bash';
import { USERS } from './accounts.js';
import { Jobs } from './exec-run.js';
import type { Command, CommandResult, Guest, ServiceCall } from './guest.js';
import type { GuestNetwork } from './outside.js';
import { runInThread } from './shell.js';

/** A service of the in-memory guests. Resolves with the exit code. */
export type MemoryService = (guest: MemoryGuest, call: ServiceCall) => Promise<number>;

/** The exit codes of a shell for a command that it cannot start, and for one that was killed. */
const CANNOT_START = 126;
const EXIT_KILLED = 137;

export class MemoryGuest implements Guest {
  readonly jobs = new Jobs();
  private readonly stopped = new AbortController();

  constructor(
    readonly name: string,
    readonly fs: MountableFs,
    private readonly outside: GuestNetwork | undefined,
    private readonly serviceOf: (name: string) => MemoryService | undefined,
  ) {}

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
    const where = cwd === undefined ? account.home : this.fs.resolvePath(account.home, cwd);
    if (!(await this.isDirectory(where))) return cannot(`${where}: no such directory`);
    const line = typeof command === 'string' ? command : command.map(quoted).join(' ');
    const ended = AbortSignal.any([this.stopped.signal, ...(signal ? [signal] : [])]);
    const exit = await runInThread(
      {
        ...{ line, name: this.name, user, uid: account.uid, cwd: where, stdin },
        env: { HOME: account.home, USER: user, LOGNAME: user, PATH: '/usr/local/bin:/usr/bin:/bin', ...env },
        hasNetwork: this.outside !== undefined,
      },
      { fs: this.fs, network: this.outside, onOutput },
      ended,
    );
    return exit === null ? resultOf(EXIT_KILLED, ended.aborted) : resultOf(exit);
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

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
