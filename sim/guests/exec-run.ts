/** `qmcp.exec.Run`, `Output` and `Stop` for guests without processes. */
import { randomBytes } from 'node:crypto';
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import type { Command, CommandResult, Guest, ServiceCall } from './guest.js';
import { answer, conflict, Refusal, User } from './protocol.js';

interface Outcome {
  readonly exit: number | null;
  readonly signal: string | null;
  readonly timed_out: boolean;
}

const LOST_OUTCOME: Outcome = { exit: null, signal: null, timed_out: false };

export function execRun(guest: Guest & { readonly jobs: Jobs }, call: ServiceCall): Promise<number> {
  const shape = {
    command: Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String(), { minItems: 1 })]),
    cwd: Type.Optional(Type.String({ minLength: 1 })),
    env: Type.Optional(Type.Record(Type.String(), Type.String())),
    user: User,
    timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.command_seconds })),
    background: Type.Optional(Type.Boolean()),
  };
  return answer(
    call,
    shape,
    async ({ timeout, background, user = 'user', ...command }, stdin, send, signal) => {
      if (command.command[0] === '') throw new Refusal('invalid-request');
      const ready = { ...command, user, stdin };
      if (background) {
        if (stdin.length > LIMITS.job_input_bytes) throw new Refusal('invalid-request');
        return { ...LOST_OUTCOME, job: guest.jobs.launch(guest, ready, timeout) };
      }
      const late = AbortSignal.timeout((timeout ?? LIMITS.default_command_seconds) * 1000);
      const result = await guest.run({
        ...ready,
        signal: AbortSignal.any([late, signal]),
        onOutput: (stream, bytes) => send(stream === 'stdout' ? 'O' : 'E', bytes),
      });
      return outcomeOf(result, late.aborted);
    },
  );
}

export function outcomeOf(result: CommandResult, timedOut: boolean): Outcome {
  if (result.aborted) return { exit: null, signal: 'SIGKILL', timed_out: timedOut };
  const { exit, signal = null } = result;
  return signal === null ? { exit, signal, timed_out: false } : { exit: null, signal, timed_out: false };
}

const Id = Type.String({ pattern: '^[0-9a-f]{16}$' });

export function execOutput(guest: { readonly jobs: Jobs }, call: ServiceCall): Promise<number> {
  const shape = {
    job: Id,
    stream: Type.Optional(Type.Enum(['stdout', 'stderr'])),
    offset: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.page_bytes })),
    wait: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.output_wait_seconds })),
  };
  return answer(
    call,
    shape,
    async (
      { job: id, stream = 'stdout', offset = 0, limit = LIMITS.default_page_bytes, wait = 0 },
      _body,
      send,
      signal,
    ) => {
      const job = guest.jobs.find(id);
      await job.until(() => job.buffers[stream].length > offset, wait * 1000, signal);
      send(stream === 'stdout' ? 'O' : 'E', job.buffers[stream].subarray(offset, offset + limit));
      const size = job.buffers[stream].length;
      return { ...job.state(), size, dropped: job.totals[stream] - size };
    },
  );
}

export function execStop(guest: { readonly jobs: Jobs }, call: ServiceCall): Promise<number> {
  return answer(call, { job: Id }, async ({ job: id }) => {
    const job = guest.jobs.find(id);
    await job.stop();
    return job.state();
  });
}

/** The background commands of one qube, while it runs. */
export class Jobs {
  private readonly jobs = new Map<string, Job>();

  launch(guest: Guest, command: Command, timeout: number | undefined): string {
    if ([...this.jobs.values()].filter((job) => job.state().running).length >= LIMITS.jobs_running)
      throw conflict('too-many-commands');
    const id = randomBytes(8).toString('hex');
    this.jobs.set(id, new Job(guest, command, timeout));
    return id;
  }

  find(id: string): Job {
    const job = this.jobs.get(id);
    if (job === undefined) throw conflict('no-such-command');
    return job;
  }
}

class Job {
  readonly buffers = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  readonly totals = { stdout: 0, stderr: 0 };
  private outcome: Outcome | undefined;
  private readonly stopping = new AbortController();
  private readonly ended: Promise<void>;
  private wakeReader = () => {};

  constructor(guest: Guest, command: Command, timeout: number | undefined) {
    const late = timeout === undefined ? new AbortController().signal : AbortSignal.timeout(timeout * 1000);
    this.ended = guest
      .run({
        ...command,
        signal: AbortSignal.any([late, this.stopping.signal]),
        onOutput: (stream, bytes) => this.print(stream, bytes),
      })
      .then((result) => {
        const how = outcomeOf(result, late.aborted);
        this.outcome = this.stopping.signal.aborted && result.aborted ? { ...how, signal: 'SIGTERM' } : how;
        this.wakeReader();
      });
  }

  state() {
    return { running: this.outcome === undefined, ...(this.outcome ?? LOST_OUTCOME) };
  }

  /** Waits until the condition holds, the command has ended, the time is over, or the caller has gone. */
  async until(condition: () => boolean, milliseconds: number, callerGone: AbortSignal): Promise<void> {
    const late = AbortSignal.any([AbortSignal.timeout(milliseconds), callerGone]);
    while (!condition() && this.outcome === undefined && !late.aborted)
      await new Promise<void>((resolve) => {
        const wakeOthers = this.wakeReader;
        this.wakeReader = () => {
          wakeOthers();
          resolve();
        };
        late.addEventListener('abort', () => resolve(), { once: true });
      });
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.ended;
  }

  private print(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    this.totals[stream] += bytes.length;
    const kept = this.buffers[stream];
    this.buffers[stream] = Buffer.concat([kept, bytes.subarray(0, LIMITS.job_output_bytes - kept.length)]);
    const wake = this.wakeReader;
    this.wakeReader = () => {};
    wake();
  }
}
