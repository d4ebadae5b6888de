/** Runs commands of guests in threads of their own, and carries out what these ask for. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { MountableFs } from 'just-bash';
import { packageFile } from '../root.js';
import type { LinuxFiles } from './linux-files.js';
import type { GuestNetwork } from './outside.js';

export interface ShellCommand {
  readonly line: string;
  readonly pid: number;
  /** The qube. */
  readonly name: string;
  readonly user: string;
  readonly uid: number;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array | undefined;
  readonly hasNetwork: boolean;
}

export type NewProcess = Omit<ShellCommand, 'pid'>;

/** What a shell asks of its guest about jobs. */
export interface JobControl {
  launch(job: NewProcess): Promise<number | null>;
  wait(pid: number): Promise<number | null>;
  /** Whether there is such a process. `0` only asks. */
  kill(pid: number, signal: string): Promise<boolean>;
  list(): Promise<{ readonly pid: number; readonly line: string }[]>;
}

export interface ShellSetup {
  readonly syncPort: MessagePort;
  readonly wakeUp: Int32Array<SharedArrayBuffer>;
}

interface ShellError {
  readonly message: string;
  readonly code?: unknown;
}

export type ToShell =
  | { readonly type: 'run'; readonly command: ShellCommand }
  | { readonly type: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: ShellError };

export type FromShell =
  | {
      readonly type: 'call';
      readonly id: number;
      readonly target: 'fs' | 'network' | 'output' | 'jobs';
      readonly method: string;
      readonly args: readonly unknown[];
    }
  | { readonly type: 'end'; readonly exit: number }
  | { readonly type: 'failed'; readonly message: string };

/** The parts of a guest that a command uses. */
export interface ShellWorld {
  readonly files: LinuxFiles;
  /** Not as a user has them: to complete names. */
  readonly fs: MountableFs;
  readonly network: GuestNetwork | undefined;
  readonly jobs: JobControl;
  onOutput(stream: 'stdout' | 'stderr', bytes: Uint8Array): void;
}

type Method = (...args: unknown[]) => unknown;

/** MiB that one command may use; a command that needs more is killed, as by the kernel of a qube. */
const MEMORY = 256;
/** Threads that are kept for the next command, because starting one takes longer than most commands. */
const MOST_IDLE = 2;

const source = fileURLToPath(new URL('./shell-worker.js', import.meta.url));
/** In a test of the sources, the built file: a thread cannot load TypeScript. */
const PROGRAM = existsSync(source) ? source : packageFile('dist/sim/guests/shell-worker.js');

class Thread {
  private readonly worker: Worker;
  private readonly sync = new MessageChannel();
  private readonly wakeUp = new Int32Array(new SharedArrayBuffer(4));
  private world: ShellWorld | undefined;
  private finish: (exit: number | null) => void = () => {};
  isEnded = false;

  constructor() {
    const workerData: ShellSetup = { syncPort: this.sync.port2, wakeUp: this.wakeUp };
    this.worker = new Worker(PROGRAM, {
      workerData,
      transferList: [this.sync.port2],
      resourceLimits: { maxOldGenerationSizeMb: MEMORY },
      execArgv: [],
      stdout: true,
      stderr: true,
    });
    this.worker.on('message', (message: FromShell) => this.receive(message));
    // Out of memory, or a fault of the shell: the command dies, and nothing else.
    this.worker.on('error', () => this.end());
    this.worker.on('exit', () => this.end());
    this.sync.port1.on('message', ({ method, args }: { method: string; args: unknown[] }) => {
      this.sync.port1.postMessage(this.method(method)(...args));
      Atomics.store(this.wakeUp, 0, 1);
      Atomics.notify(this.wakeUp, 0);
    });
    this.worker.unref();
    this.sync.port1.unref();
  }

  /** The exit code, or null if the thread was ended. */
  run(command: ShellCommand, world: ShellWorld): Promise<number | null> {
    this.world = world;
    this.worker.ref();
    return new Promise((resolve) => {
      this.finish = (exit) => {
        this.world = undefined;
        this.finish = () => {};
        this.worker.unref();
        resolve(exit);
      };
      this.send({ type: 'run', command });
    });
  }

  kill(): void {
    this.end();
    void this.worker.terminate();
  }

  private end(): void {
    this.isEnded = true;
    this.sync.port1.close();
    this.finish(null);
  }

  private receive(message: FromShell): void {
    if (message.type === 'call') void this.carryOut(message);
    else if (message.type === 'end') this.finish(message.exit);
    else this.kill();
  }

  /** A command waits for the answer, also for its output, so a flood never fills the memory of this thread. */
  private async carryOut({ id, target, method, args }: Extract<FromShell, { type: 'call' }>): Promise<void> {
    const { world } = this;
    if (world === undefined) return;
    try {
      if (target === 'output') world.onOutput(method as 'stdout' | 'stderr', args[0] as Uint8Array);
      const value = target === 'output' ? undefined : await this.method(method, target)(...args);
      this.send({ type: 'answer', id, value });
    } catch (error) {
      const { message, code } = error as ShellError;
      this.send({ type: 'answer', id, error: { message, ...(code !== undefined && { code }) } });
    }
  }

  private method(name: string, target: 'fs' | 'network' | 'jobs' = 'fs'): Method {
    const { files, fs, network, jobs } = this.world!;
    const holder = target === 'network' ? network : target === 'jobs' ? jobs : name in files ? files : fs;
    return (holder as unknown as Record<string, Method>)[name]!.bind(holder);
  }

  private send(message: ToShell): void {
    if (!this.isEnded) this.worker.postMessage(message);
  }
}

const idle: Thread[] = [];

/** Runs a command. Returns its exit code, or null if the signal or the lack of memory ended it. */
export async function runInThread(
  command: ShellCommand,
  world: ShellWorld,
  signal: AbortSignal,
): Promise<number | null> {
  if (signal.aborted) return null;
  let thread = idle.pop();
  while (thread?.isEnded) thread = idle.pop();
  thread ??= new Thread();
  const kill = () => thread.kill();
  signal.addEventListener('abort', kill, { once: true });
  try {
    return await thread.run(command, world);
  } finally {
    signal.removeEventListener('abort', kill);
    if (!thread.isEnded && idle.length < MOST_IDLE) idle.push(thread);
    else if (!thread.isEnded) thread.kill();
  }
}
