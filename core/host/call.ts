import { Compile } from 'typebox/schema';
import { Refused, type Tool, type ToolContext } from '../api/index.js';
import type { ServedTool } from '../api/served.js';
import type { Behaviour } from './container.js';
import { isObject, lazily } from './dom0.js';

/** Faults of an agent's arguments that are named at once; more would not help it. */
const FAULTS_NAMED = 5;

/**
 * A tool between its two schemas. An agent's arguments are judged before the tool sees them, by their own bytes alone;
 * what the tool returns is judged before the agent sees it. Whatever a tool throws leaves here as a refusal: the reason
 * goes to `log`, which is for the operator.
 */
export function served(
  plugin: string,
  tool: Tool,
  behaviour: Behaviour,
  log: (line: string) => void,
): ServedTool {
  const input = lazily(() => Compile(tool.input));
  const output = lazily(() => Compile(tool.output));

  const call = async (untrusted_input: unknown, context: ToolContext) => {
    if (!input().Check(untrusted_input)) throw malformed(input().Errors(untrusted_input)[1]);
    try {
      const result = await behaviour(untrusted_input, context);
      if (isObject(result) && output().Check(result)) return result;
      log(`${tool.name}: its result does not fit its output schema`);
    } catch (error) {
      if (error instanceof Refused) throw error;
      log(`${tool.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
    throw new Refused('failed');
  };
  return Object.freeze({ plugin, tool, call });
}

interface Fault {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message: string;
  readonly params: unknown;
}

/** `invalid-request` with where and what, in the schema's words: no value of the agent's, nothing of the host. */
function malformed(faults: readonly Fault[]): Refused {
  const problems = faults
    .filter(({ keyword }) => keyword !== 'boolean')
    .slice(0, FAULTS_NAMED)
    .map(({ instancePath, message }) => ({ at: instancePath || '/', problem: message }));
  return new Refused('invalid-request', { problems });
}
