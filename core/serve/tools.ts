import {
  type Ask,
  contentOf,
  InputRequired,
  isContentBlock,
  Refused,
  type RunContext,
  type Tool,
  type ToolContext,
} from '../api/index.js';
import { isObject, lazily } from '../ports/values.js';
import { Compile } from '../vendor/typebox.js';
import { Builtins } from './builtins.js';
import type { Behaviour } from './container.js';
import { errorTrace } from './failure.js';
import { invalidRequest } from './faults.js';
import { optionsOf } from './options.js';
import type { ServedTool } from './served.js';

/** Seconds a tool may go on after its call is cancelled. */
const GRACE_SECONDS = 5;

interface CallDependencies {
  readonly builtins?: Builtins;
  readonly grace?: number;
  readonly options?: RunContext['options'];
}

/**
 * Wraps a tool in checks of its two schemas. The arguments are checked before the tool sees them, by their form alone; the
 * result is checked before the agent sees it. Every error of a tool becomes a refusal, and the reason goes to `log`, for the
 * operator.
 */
export function serveTool(
  plugin: string,
  tool: Tool,
  behaviour: Behaviour,
  log: (line: string) => void,
  { builtins = new Builtins(), grace = GRACE_SECONDS, options }: CallDependencies = {},
): ServedTool {
  const input = lazily(() => Compile(tool.input));
  const output = lazily(() => Compile(tool.output));

  const runContext = (context: ToolContext): RunContext =>
    Object.freeze({
      ...context,
      options: options ?? optionsOf({ id: plugin }),
      ask: askIn(context),
      log: context.log ?? (() => {}),
    });

  const call = async (untrusted_input: unknown, context: ToolContext) => {
    if (!input().Check(untrusted_input)) throw invalidRequest(tool.input, input().Errors(untrusted_input)[1]);
    try {
      const result = await raceWithAbort(
        behaviour(untrusted_input, runContext(context)),
        context.signal,
        grace,
      );
      if (!isObject(result) || !output().Check(result))
        log(`${tool.name}: its result does not fit its output schema`);
      else if (!(contentOf(result) ?? []).every(isContentBlock))
        log(`${tool.name}: its content has a block that cannot be sent`);
      else return result;
    } catch (error) {
      if (error instanceof Refused || error instanceof InputRequired) throw error;
      log(`${tool.name}: ${errorTrace(error)}`);
    } finally {
      const changed = builtins.restore();
      if (changed.length > 0)
        log(`${tool.name}: the call changed ${changed.join(', ')}; the change was undone`);
    }
    throw new Refused('failed');
  };
  return Object.freeze({ plugin, tool, call });
}

/** The way for a tool to ask: see `RunContext.ask`. An answer that does not fit its question is asked for again. */
function askIn({ answers }: ToolContext): Ask {
  return (name, question) => {
    if (answers === undefined) throw new Refused('conflict', { missing: 'elicitation' });
    const { action, content } = (answers[name] ?? {}) as { action?: unknown; content?: unknown };
    if (action === 'decline' || action === 'cancel') return undefined;
    if (action !== 'accept' || !Compile(question.answer).Check(content))
      throw new InputRequired(name, question);
    return content;
  };
}

/** The result of the work. Rejects if the work goes on for `grace` seconds after the signal; the work itself is not stopped. */
async function raceWithAbort(work: Promise<unknown>, signal: AbortSignal, grace: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort = () => {};
  const left = new Promise<never>((_, reject) => {
    onAbort = () => {
      const why = `still running ${grace} s after its call was cancelled`;
      timer = setTimeout(() => reject(new Error(why)), grace * 1000);
      timer.unref?.();
    };
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, left]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
