import {
  inject,
  injectable,
  invalidAt,
  LIMITS,
  type Port,
  portOf,
  refuseLoneSurrogates,
  refuseUnusableText,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { type RunResult, resultOf } from './result.js';
import { Runner } from './runner.js';
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

  async run({ qube, ...command }: Input, context: ToolContext): Promise<RunResult> {
    refuseUnusableCommand(command);
    const { stdin, ...params } = command;
    const { record, outcome } = await this.runner.follow(qube, context, (io) =>
      this.start(qube, params, { ...io, ...inputOf(stdin) }),
    );
    const result = resultOf(record, outcome);
    return 'job' in outcome && outcome.job !== undefined
      ? { ...result, running: true, handle: `${qube}:${outcome.job}` }
      : result;
  }
}

/** Refuses what the schema cannot say and a qube would refuse without a reason. */
export function refuseUnusableCommand({ stdin = '', ...params }: Command & { background?: boolean }): void {
  refuseUnusableText(params);
  refuseLoneSurrogates('/stdin', stdin);
  if (params.command[0] === '') throw invalidAt('/command/0', 'must be the name of a program');
  const size = new TextEncoder().encode(stdin).length;
  if (params.background && size > LIMITS.job_input_bytes)
    throw invalidAt('/stdin', `must not have more than ${LIMITS.job_input_bytes} bytes in the background`);
}

export const inputOf = (stdin: string | undefined) =>
  stdin === undefined ? {} : { stdin: new TextEncoder().encode(stdin) };
