import { Refused, type RunContext, type Tool, type ToolContext } from '../api/index.js';
import { isObject, lazily } from '../ports/values.js';
import { Compile } from '../vendor/typebox.js';
import { Builtins } from './builtins.js';
import type { Behaviour } from './container.js';
import { errorTrace } from './failure.js';
import { optionsOf } from './options.js';
import type { ServedTool } from './served.js';

/** Seconds a tool has to come to an end once its caller is gone. */
const GRACE_SECONDS = 5;
/** Faults of an agent's arguments that are named at once; more would not help it. */
const MAX_FAULTS = 5;

interface CallDependencies {
  readonly builtins?: Builtins;
  readonly grace?: number;
  readonly options?: RunContext['options'];
}

/**
 * A tool between its two schemas. An agent's arguments are judged before the tool sees them, by their own bytes alone;
 * what the tool returns is judged before the agent sees it. Whatever a tool throws leaves here as a refusal: the reason
 * goes to `log`, which is for the operator.
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
    Object.freeze({ ...context, options: options ?? optionsOf({ id: plugin }) });

  const call = async (untrusted_input: unknown, context: ToolContext) => {
    if (!input().Check(untrusted_input)) throw invalidRequest(input().Errors(untrusted_input)[1]);
    try {
      const result = await raceWithAbort(
        behaviour(untrusted_input, runContext(context)),
        context.signal,
        grace,
      );
      if (isObject(result) && output().Check(result)) return result;
      log(`${tool.name}: its result does not fit its output schema`);
    } catch (error) {
      if (error instanceof Refused) throw error;
      log(`${tool.name}: ${errorTrace(error)}`);
    } finally {
      const changed = builtins.restore();
      if (changed.length > 0)
        log(`${tool.name}: during a call ${changed.join(', ')} was changed, and put back`);
    }
    throw new Refused('failed');
  };
  return Object.freeze({ plugin, tool, call });
}

/** What comes of the work, for as long as its caller wants it. Work that does not end when it should is left to itself. */
async function raceWithAbort(work: Promise<unknown>, signal: AbortSignal, grace: number): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort = () => {};
  const left = new Promise<never>((_, reject) => {
    onAbort = () => {
      const why = `goes on ${grace} s after its call was cancelled`;
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

interface Fault {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message: string;
  readonly params: unknown;
}

/** `invalid-request` with where and what, in the schema's words: no value of the agent's, nothing of the host. */
function invalidRequest(faults: readonly Fault[]): Refused {
  const problems = faults
    .filter(({ keyword }) => keyword !== 'boolean')
    .slice(0, MAX_FAULTS)
    .map(({ instancePath, message }) => ({ at: instancePath || '/', problem: message }));
  return new Refused('invalid-request', { problems });
}
