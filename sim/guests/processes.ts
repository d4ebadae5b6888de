/**
 * Guests that are plain processes of the current user: the services that a template ships, without a sandbox. Use it in tests
 * whose commands you trust, on machines without bubblewrap. Each qube has a directory for what its services keep, and a `bin` in
 * it that is first in PATH.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { python } from '../python.js';
import { Input } from '../qrexec/input.js';
import { packageFile } from '../root.js';
import type { Command, CommandResult, Guest, GuestEngine, QubeToStart, ServiceCall } from './guest.js';
import { requestOf } from './protocol.js';
import { installQubesdbRead } from './qubesdb.js';

const NO_SUCH_SERVICE = 127;
const EXIT_KILLED = 137;

export class ProcessEngine implements GuestEngine {
  constructor(private readonly dir: string) {}

  async start({ name }: QubeToStart): Promise<Guest> {
    return new ProcessGuest(name, join(this.dir, name));
  }

  async import(): Promise<void> {}

  forget(name: string): void {
    rmSync(join(this.dir, name), { recursive: true, force: true });
  }
}

export class ProcessGuest implements Guest {
  private readonly stopped = new AbortController();
  private readonly calls = new Set<Promise<unknown>>();

  constructor(
    private readonly name: string,
    private readonly dir: string,
  ) {
    installQubesdbRead(join(dir, 'bin'), name);
  }

  async serve(call: ServiceCall): Promise<number> {
    const file = packageFile(`guest/qubes-rpc/${call.service}`);
    const module = existsSync(file)
      ? /-m (qmcp_guest\.\w+)/.exec(readFileSync(file, 'utf8'))?.[1]
      : undefined;
    if (module === undefined) return NO_SUCH_SERVICE;
    const signal = AbortSignal.any([call.signal, this.stopped.signal]);
    const running = this.process(module, { ...call, signal });
    this.calls.add(running);
    try {
      return await running;
    } finally {
      this.calls.delete(running);
    }
  }

  async run(_command: Command): Promise<CommandResult> {
    throw new Error('a guest of plain processes is called by its services only');
  }

  /** The end of a qube ends everything in it, including background commands. */
  async stop(): Promise<void> {
    this.stopped.abort();
    await Promise.allSettled(this.calls);
    const jobs = join(this.dir, 'jobs');
    for (const job of existsSync(jobs) ? readdirSync(jobs) : [])
      await this.process('qmcp_guest.exec_stop', {
        argument: this.name,
        stdin: Input.of(requestOf({ job }), true),
        stdout: () => {},
        stderr: () => {},
        signal: new AbortController().signal,
      });
  }

  private process(
    module: string,
    call: Pick<ServiceCall, 'argument' | 'stdin' | 'stdout' | 'stderr' | 'signal'>,
  ): Promise<number> {
    const { argument, stdin, stdout, stderr, signal } = call;
    const child = spawn(python(), ['-B', '-S', '-m', module], {
      cwd: packageFile('guest'),
      env: {
        ...process.env,
        PATH: `${join(this.dir, 'bin')}:${process.env.PATH}`,
        QREXEC_SERVICE_ARGUMENT: argument,
        QMCP_JOBS: join(this.dir, 'jobs'),
      },
    });
    child.stdout.on('data', stdout);
    child.stderr.on('data', stderr);
    pipeline(Readable.from(stdin), child.stdin).catch(() => {});
    // The caller's disconnection as the service sees it: its pipes close, and it is not killed.
    const hangUp = () => {
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
    };
    if (signal.aborted) hangUp();
    signal.addEventListener('abort', hangUp, { once: true });
    return new Promise((done, failed) => {
      child.once('error', failed);
      child.once('close', (exit) => done(exit ?? EXIT_KILLED));
    });
  }
}
