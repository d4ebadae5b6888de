import {
  decodeVisible,
  inject,
  injectable,
  type Port,
  portOf,
  Refused,
  type Static,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import type { RunResult } from './result.js';
import { approved, done, runStep, status } from './services.js';

/** Bytes of each stream of a command that a result shows: its first. */
const MAX_SHOWN = 16_384;

type StepResult = RunResult['steps'][number];
type Request = Static<typeof approved.params>;

/** Carries out the steps of a plan that are left, in order, until one fails. */
@injectable()
export class PlanRun implements ToolHandler {
  constructor(
    @inject(portOf(status)) private readonly ask: Port<typeof status>,
    @inject(portOf(runStep)) private readonly step: Port<typeof runStep>,
    @inject(portOf(approved)) private readonly command: Port<typeof approved>,
    @inject(portOf(done)) private readonly report: Port<typeof done>,
  ) {}

  async run({ digest }: { digest: string }, context: ToolContext): Promise<RunResult> {
    const { plans, steps: states = [] } = await this.ask({ digest }, context.signal);
    if (plans[0]?.state !== 'approved') throw new Refused('not-approved');
    const steps: StepResult[] = [];
    for (const [index, state] of states.entries()) {
      if (state === 'done') continue;
      context.progress(`step ${index + 1} of ${states.length}`);
      const ended = await this.attempt(digest, index + 1, context);
      steps.push(ended);
      if (ended.state === 'failed') break;
    }
    const shown = steps.flatMap(({ number, stdout, stderr }) => [
      ...(stdout === undefined ? [] : [`steps/${number}/stdout`]),
      ...(stderr === undefined ? [] : [`steps/${number}/stderr`]),
    ]);
    return { digest, steps, untrusted: shown };
  }

  private async attempt(digest: string, number: number, context: ToolContext): Promise<StepResult> {
    try {
      const { result, request } = await this.step({ digest, number }, context.signal);
      if (request !== undefined) return await this.inQube(digest, number, JSON.parse(request) as Request);
      return { number, state: 'done', ...(result !== undefined && { result }) };
    } catch (error) {
      if (error instanceof Refused) return { number, state: 'failed', code: error.code };
      throw error;
    }
  }

  /** A command goes on when the client leaves: a person approved all of it, and not its first half. */
  private async inQube(digest: string, number: number, request: Request): Promise<StepResult> {
    const output = { stdout: new Uint8Array(), stderr: new Uint8Array() };
    try {
      const { exit, signal } = await this.command(request.qube, request, {
        onOutput: (stream, bytes) => {
          const left = MAX_SHOWN - output[stream].length;
          if (left > 0) output[stream] = Buffer.concat([output[stream], bytes.subarray(0, left)]);
        },
      });
      await this.report({ digest, number, ...(exit !== null && { exit }) });
      const texts = { stdout: decodeVisible(output.stdout).text, stderr: decodeVisible(output.stderr).text };
      return { number, state: exit === 0 ? 'done' : 'failed', exit, signal, ...texts };
    } catch (error) {
      await this.report({ digest, number });
      throw error;
    }
  }
}
