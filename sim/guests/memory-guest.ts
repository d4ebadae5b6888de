import { Bash, type MountableFs } from 'just-bash';
import { USERS } from './accounts.js';
import { commandsOf } from './commands.js';
import { Jobs } from './exec-run.js';
import type { Command, CommandResult, Guest, ServiceCall } from './guest.js';
import { fetchFrom, type GuestNetwork } from './outside.js';
import { heard as hearing, tapped } from './tap.js';

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
    const shell = new Bash({
      fs: tapped(this.fs, onOutput),
      cwd: where,
      env: { HOME: account.home, USER: user, LOGNAME: user, PATH: '/usr/local/bin:/usr/bin:/bin', ...env },
      processInfo: { pid: 1, uid: account.uid, gid: account.uid },
      customCommands: commandsOf({ name: this.name, user, uid: account.uid, outside: this.outside }),
      executionLimits: { maxCommandCount: 10_000_000, maxLoopIterations: 10_000_000 },
      ...(this.outside && { fetch: fetchFrom(this.outside, this.name) }),
    });
    // A line that redirects its own output permanently runs unchanged.
    if (!/\bexec\b/.test(line))
      shell.registerTransformPlugin({ name: 'tap', transform: ({ ast }) => ({ ast: hearing(ast) }) });
    const ended = AbortSignal.any([this.stopped.signal, ...(signal ? [signal] : [])]);
    const { stdout, stderr, exitCode, stdoutKind } = await shell.exec(line, {
      rawScript: true,
      signal: ended,
      ...(stdin && { stdin: Buffer.from(stdin).toString('latin1'), stdinKind: 'bytes' as const }),
    });
    if (ended.aborted) return resultOf(EXIT_KILLED, true);
    // The shell's own message about a line that it cannot parse.
    if (stdout !== '') onOutput('stdout', bytesOf(stdout, stdoutKind));
    if (stderr !== '') onOutput('stderr', Buffer.from(stderr, 'utf8'));
    return resultOf(exitCode);
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

/** The shell gives bytes as Latin-1 text, unless it marks the output as text. */
function bytesOf(output: string, kind: string | undefined): Uint8Array {
  const isBytes = kind === 'bytes' || ![...output].some((character) => character > '\xff');
  return isBytes ? Buffer.from(output, 'latin1') : Buffer.from(output, 'utf8');
}
