import {
  inject,
  injectable,
  type Port,
  portOf,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { Runner, type RunResult, resultOf } from './runner.js';
import { run } from './services.js';

export interface Command {
  command: string | string[];
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  stdin?: string;
  timeout?: number;
}

interface Input extends Command {
  qube: string;
  background?: boolean;
}

@injectable()
export class ExecRun implements ToolHandler {
  constructor(
    @inject(portOf(run)) private readonly start: Port<typeof run>,
    @inject(Runner) private readonly runner: Runner,
  ) {}

  async run({ qube, stdin, ...params }: Input, context: ToolContext): Promise<RunResult> {
    const { record, outcome } = await this.runner.follow(qube, context, (io) =>
      this.start(qube, params, { ...io, ...inputOf(stdin) }),
    );
    const result = resultOf(record, outcome);
    return 'job' in outcome && outcome.job !== undefined
      ? { ...result, running: true, handle: `${qube}:${outcome.job}` }
      : result;
  }
}

export const inputOf = (stdin: string | undefined) =>
  stdin === undefined ? {} : { stdin: new TextEncoder().encode(stdin) };
