import {
  inject,
  injectable,
  type Port,
  portOf,
  Refused,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { type RunResult, resultOf } from './result.js';
import { type Command, inputOf, refuseUnusableCommand } from './run.js';
import { Runner } from './runner.js';
import { disposable, killDisposable, run } from './services.js';

/** Milliseconds before each further attempt to kill the disposable. After the last, the result says that it is left behind. */
const RETRY_DELAYS = [100, 300, 1000, 3000];

interface Input extends Command {
  template: string;
}

/** Runs one command in a new disposable, and kills the disposable however the command or the call ends. */
@injectable()
export class DisposableRun implements ToolHandler {
  private readonly running = new Set<Promise<unknown>>();

  constructor(
    @inject(portOf(disposable)) private readonly make: Port<typeof disposable>,
    @inject(portOf(run)) private readonly start: Port<typeof run>,
    @inject(portOf(killDisposable)) private readonly end: Port<typeof killDisposable>,
    @inject(Runner) private readonly runner: Runner,
  ) {}

  async run(input: Input, context: ToolContext): Promise<RunResult> {
    const { template: _, ...command } = input;
    // Before a disposable is made for it.
    refuseUnusableCommand(command);
    const finished = this.runInDisposable(input, context);
    this.running.add(finished);
    try {
      return await finished;
    } finally {
      this.running.delete(finished);
    }
  }

  /** The server waits until its disposables are killed. */
  async dispose(): Promise<void> {
    await Promise.allSettled(this.running);
  }

  private async runInDisposable(
    { template, stdin, ...params }: Input,
    context: ToolContext,
  ): Promise<RunResult> {
    if (context.signal.aborted) throw new Refused('failed');
    // Not cancelled with the call: a disposable could not be killed without its name.
    const { name } = await this.make({ template });
    let result: RunResult | undefined;
    let problem: unknown;
    try {
      context.progress('the disposable is running');
      if (context.signal.aborted) throw new Refused('failed');
      const { record, outcome } = await this.runner.follow(name, context, (io) =>
        this.start(name, params, { ...io, ...inputOf(stdin) }),
      );
      result = resultOf(record, outcome);
    } catch (error) {
      problem = error;
    }
    const left = (await this.kill(name)) ? {} : { left_behind: name };
    if (result !== undefined) return { ...result, ...left };
    throw problem instanceof Refused ? new Refused(problem.code, { ...problem.data, ...left }) : problem;
  }

  private async kill(name: string): Promise<boolean> {
    for (const pause of [...RETRY_DELAYS, 0]) {
      try {
        await this.end(name, {});
        return true;
      } catch (error) {
        if (error instanceof Refused && error.code === 'not-found') return true;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    return false;
  }
}
