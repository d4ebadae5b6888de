/** The processes of a guest in memory: each command, and each job that a shell starts with `&`, has a number and a thread. */
import { constants } from 'node:os';
import { type JobControl, type NewProcess, runInThread, type ShellWorld } from './shell.js';

/** How a process ended: with an exit code, or by a signal. */
export interface End {
  readonly exit: number;
  readonly signal: string | null;
}

/** A kernel has a bound, too: a fork bomb fails at it. */
const MOST = 32;
const FIRST = 300;
const OUT_OF_MEMORY = 137;

/** A command and the jobs that it started. They end with the call, unless the command has ended before. */
interface Session {
  readonly world: Omit<ShellWorld, 'jobs'>;
  readonly ending: AbortController;
}

class Process {
  readonly ended: Promise<End>;
  private readonly killed = new AbortController();
  private signal = 'SIGKILL';

  constructor(
    readonly pid: number,
    readonly command: NewProcess,
    world: ShellWorld,
    ending: AbortSignal,
  ) {
    const signal = AbortSignal.any([this.killed.signal, ending]);
    this.ended = runInThread({ ...command, pid }, world, signal).then((exit) =>
      exit !== null
        ? { exit, signal: null }
        : signal.aborted
          ? { exit: 128 + numberOf(this.signal), signal: this.signal }
          : { exit: OUT_OF_MEMORY, signal: null },
    );
  }

  kill(signal: string): void {
    this.signal = signal;
    this.killed.abort();
  }
}

export class ProcessTable {
  private last = FIRST;
  private readonly running = new Map<number, Process>();
  private readonly ends = new Map<number, Promise<End>>();
  private readonly stopped = new AbortController();

  /** Runs a command until it has ended. Its jobs run on, as in a qube, but nobody hears them any more. */
  async run(
    command: NewProcess,
    world: Omit<ShellWorld, 'jobs'>,
    signal: AbortSignal,
  ): Promise<End & { readonly aborted: boolean }> {
    const ending = new AbortController();
    const end = () => ending.abort();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    let hasEnded = false;
    const onOutput: ShellWorld['onOutput'] = (stream, bytes) => {
      if (!hasEnded) world.onOutput(stream, bytes);
    };
    const main = this.start(command, { world: { ...world, onOutput }, ending });
    const how = await main.ended;
    hasEnded = true;
    signal.removeEventListener('abort', end);
    return { ...how, aborted: ending.signal.aborted || this.stopped.signal.aborted };
  }

  stop(): void {
    this.stopped.abort();
  }

  private start(command: NewProcess, session: Session): Process {
    this.last += 1;
    const pid = this.last;
    const jobs: JobControl = {
      launch: async (job) => (this.running.size < MOST ? this.start(job, session).pid : null),
      wait: async (of) => (await this.ends.get(of))?.exit ?? null,
      kill: async (of, signal) => {
        const process = this.running.get(of);
        if (signal !== '0') process?.kill(signal);
        return process !== undefined;
      },
      list: async () => [...this.running.values()].map(({ pid, command: { line } }) => ({ pid, line })),
    };
    const ending = AbortSignal.any([session.ending.signal, this.stopped.signal]);
    const process = new Process(pid, command, { ...session.world, jobs }, ending);
    this.running.set(pid, process);
    this.ends.set(pid, process.ended);
    void process.ended.then(() => this.running.delete(pid));
    return process;
  }
}

const numberOf = (signal: string): number =>
  constants.signals[signal as NodeJS.Signals] ?? constants.signals.SIGKILL;
