import {
  inject,
  injectable,
  type Port,
  portOf,
  Refused,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { type Command, inputOf } from './run.js';
import { Runner, type RunResult, resultOf } from './runner.js';
import { disposable, gone, run } from './services.js';

/** Milliseconds to wait before asking again that it go; then the caller is told that it has not gone. */
const PATIENCE = [100, 300, 1000, 3000];

interface Input extends Command {
  template: string;
}

/** A qube for one command. Whatever becomes of the command, of the caller or of us, the qube goes. */
@injectable()
export class DisposableRun implements ToolHandler {
  private readonly living = new Set<Promise<unknown>>();

  constructor(
    @inject(portOf(disposable)) private readonly make: Port<typeof disposable>,
    @inject(portOf(run)) private readonly start: Port<typeof run>,
    @inject(portOf(gone)) private readonly end: Port<typeof gone>,
    @inject(Runner) private readonly runner: Runner,
  ) {}

  async run(input: Input, context: ToolContext): Promise<RunResult> {
    const life = this.life(input, context);
    this.living.add(life);
    try {
      return await life;
    } finally {
      this.living.delete(life);
    }
  }

  /** The server ends only when nothing that it made is left. */
  async dispose(): Promise<void> {
    await Promise.allSettled(this.living);
  }

  private async life({ template, stdin, ...params }: Input, context: ToolContext): Promise<RunResult> {
    if (context.signal.aborted) throw new Refused('failed');
    // Not to be cut off: a birth of which we do not hear the name could not be ended.
    const { name } = await this.make({ template });
    let result: RunResult | undefined;
    let problem: unknown;
    try {
      context.progress('the disposable runs');
      if (context.signal.aborted) throw new Refused('failed');
      const { kept, outcome } = await this.runner.follow(name, context, (io) =>
        this.start(name, params, { ...io, ...inputOf(stdin) }),
      );
      result = resultOf(kept, outcome);
    } catch (error) {
      problem = error;
    }
    const left = (await this.goes(name)) ? {} : { left_behind: name };
    if (result !== undefined) return { ...result, ...left };
    throw problem instanceof Refused ? new Refused(problem.code, { ...problem.data, ...left }) : problem;
  }

  private async goes(name: string): Promise<boolean> {
    for (const pause of [...PATIENCE, 0]) {
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
