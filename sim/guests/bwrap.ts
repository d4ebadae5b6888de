/** Guests with real processes: the services that a template ships, in a bubblewrap sandbox. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { Input } from '../qrexec/input.js';
import { USERS } from './accounts.js';
import type { Command, CommandResult, Guest, GuestEngine, QubeToStart, ServiceCall } from './guest.js';
import { requestOf } from './protocol.js';
import { HOST_ENV, PROGRAMS, Sandbox } from './sandbox.js';

/** The exit code of a shell whose program was ended by SIGKILL, as `stop` sends it. */
const EXIT_KILLED = 137;
const NO_SUCH_USER = 126;

/** Looks for a service like qrexec's agent: first for one with this argument. A missing service exits with 127. */
const SERVE = `
cd "$HOME" || cd /
for file in "/etc/qubes-rpc/$1+$2" "/etc/qubes-rpc/$1"; do
  [ -x "$file" ] && exec "$file" \${2:+"$2"}
done
exit 127
`;

/**
 * Each qube has a directory with its private volume (/home and /rw), which exists until the qube is removed; a disposable starts
 * with a copy of its template's. Everything else inside is new at each start, for templates and standalones too. Only the guests
 * in memory have these: a root that a template passes on, `qubes.Filecopy`, calls out of the qube, and a simulated network
 * behind `curl`.
 */
export class BwrapEngine implements GuestEngine {
  private static reason: string | undefined | null = null;

  private readonly dir: string;

  constructor(dir: string) {
    this.dir = resolve(dir);
    mkdirSync(this.dir, { recursive: true });
  }

  static available(): boolean {
    return BwrapEngine.unavailable() === undefined;
  }

  /** The reason why no sandbox can be made: bubblewrap is not installed, or the kernel or a container around us forbids it. */
  static unavailable(): string | undefined {
    if (BwrapEngine.reason === null) BwrapEngine.reason = testSandbox();
    return BwrapEngine.reason;
  }

  async start({ name, template, class: qubeClass }: QubeToStart): Promise<Guest> {
    if (qubeClass === 'DispVM' && template !== null) await this.copy(template, name);
    return new BwrapGuest(name, await Sandbox.open(name, this.disk(name)));
  }

  async import(
    to: { qube: string; volume: string },
    from: { qube: string; volume: string } | null,
  ): Promise<void> {
    if (to.volume !== 'private') return;
    if (from === null) this.forget(to.qube);
    else await this.copy(from.qube, to.qube);
  }

  forget(name: string): void {
    const disk = this.disk(name);
    try {
      rmSync(disk, { recursive: true, force: true });
    } catch {
      // A guest may have removed its own user's access to a directory, and that user is ours.
      spawnSync('chmod', ['-R', 'u+rwX', disk]);
      rmSync(disk, { recursive: true, force: true });
    }
  }

  private async copy(from: string, to: string): Promise<void> {
    if (from === to) return;
    this.forget(to);
    mkdirSync(this.disk(from), { recursive: true });
    await promisify(execFile)('cp', ['-a', this.disk(from), this.disk(to)]);
  }

  private disk(name: string): string {
    return join(this.dir, name);
  }
}

class BwrapGuest implements Guest {
  private readonly calls = new Set<Promise<unknown>>();

  constructor(
    private readonly name: string,
    private readonly sandbox: Sandbox,
  ) {}

  async serve(call: ServiceCall): Promise<number> {
    const user = call.service === 'qubes.VMRootShell' ? 'root' : call.user;
    const account = USERS[user];
    if (account === undefined) {
      call.stderr(Buffer.from(`${user}: no such user\n`));
      return NO_SUCH_USER;
    }
    if (this.sandbox.over) return EXIT_KILLED;
    const running = this.process(user, account.home, call);
    this.calls.add(running);
    try {
      return await running;
    } finally {
      this.calls.delete(running);
    }
  }

  /** Calls the service that the tools use, so that a command means the same here as there. */
  async run({ command, user, cwd, env, stdin, signal }: Command): Promise<CommandResult> {
    const input = Input.of(requestOf({ command, user, cwd, env, timeout: 3600 }, stdin), true);
    const reply: Uint8Array[] = [];
    await this.serve({
      service: 'qmcp.exec.Run',
      argument: this.name,
      source: 'dom0',
      user: 'root',
      stdin: input,
      stdout: (bytes) => reply.push(bytes),
      stderr: () => {},
      signal: signal ?? new AbortController().signal,
    });
    input.end();
    return resultOf(Buffer.concat(reply));
  }

  async stop(): Promise<void> {
    this.sandbox.kill();
    await this.sandbox.ended;
    await Promise.allSettled(this.calls);
  }

  private process(user: string, home: string, call: ServiceCall): Promise<number> {
    const { service, argument, source, signal } = call;
    const [program, ...words] = this.sandbox.enter(user, [
      '/bin/sh',
      '-c',
      SERVE,
      'qrexec',
      service,
      argument,
    ]);
    const child = spawn(program!, words, {
      cwd: '/',
      env: {
        ...{
          PATH: `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:${PROGRAMS}`,
          LANG: 'C.UTF-8',
        },
        ...{ HOME: home, USER: user, LOGNAME: user, SHELL: '/bin/sh', QREXEC_REMOTE_DOMAIN: source },
        ...{ QREXEC_SERVICE_FULL_NAME: `${service}+${argument}`, QREXEC_SERVICE_ARGUMENT: argument },
      },
    });
    child.stdout.on('data', call.stdout);
    child.stderr.on('data', call.stderr);
    // A service that ends, or stops reading, discards the rest of its input.
    pipeline(Readable.from(call.stdin), child.stdin).catch(() => {});
    const hangUp = () => {
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    };
    if (signal.aborted) hangUp();
    signal.addEventListener('abort', hangUp, { once: true });
    return new Promise<number>((done, failed) => {
      child.once('error', failed);
      child.once('close', (exit) => done(exit ?? EXIT_KILLED));
    }).finally(() => signal.removeEventListener('abort', hangUp));
  }
}

/** The frames of guest/PROTOCOL.md; if the last one is missing, the command was cut off. */
function resultOf(reply: Buffer): CommandResult {
  const streams: Record<string, Uint8Array[]> = { O: [], E: [] };
  let last: { exit: number | null; signal: string | null; timed_out: boolean } | undefined;
  for (let at = 0; at + 5 <= reply.length; ) {
    const kind = reply.toString('latin1', at, at + 1);
    const payload = reply.subarray(at + 5, at + 5 + reply.readUInt32BE(at + 1));
    if (kind === 'R') throw new Error(`the guest service refused the command: ${payload}`);
    if (kind === 'X') last = JSON.parse(payload.toString('utf8'));
    streams[kind]?.push(payload);
    at += 5 + payload.length;
  }
  const [stdout, stderr] = [Buffer.concat(streams.O!), Buffer.concat(streams.E!)];
  return {
    exit: last?.exit ?? EXIT_KILLED,
    stdout,
    stderr,
    aborted: last === undefined || last.timed_out,
    signal: last?.signal ?? null,
  };
}

function testSandbox(): string | undefined {
  for (const [program, home] of Object.entries({
    bwrap: 'bubblewrap',
    nsenter: 'util-linux',
    setpriv: 'util-linux',
  }))
    if (!inPath(program)) return `${program} (${home}) is not installed`;
  const sandbox = [
    '--unshare-user',
    '--unshare-all',
    '--uid',
    '1000',
    '--gid',
    '1000',
    '--ro-bind',
    '/',
    '/',
  ];
  const tried = spawnSync('bwrap', [...sandbox, '--proc', '/proc', 'true'], {
    env: HOST_ENV,
    encoding: 'utf8',
  });
  return tried.status === 0 ? undefined : tried.stderr.trim() || 'bwrap cannot make a sandbox here';
}

function inPath(program: string): boolean {
  return HOST_ENV.PATH.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
