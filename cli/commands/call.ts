import { readFileSync } from 'node:fs';
import { Refused } from '../../core/api/index.js';
import { printable } from '../../core/boot/problems.js';
import { nearestName } from '../../core/config/fault.js';
import { type Config, configuredPlugins, load } from '../../core/main.js';
import { OWN_TOOLS } from '../../core/serve/background.js';
import { refuseInvalid } from '../../core/serve/faults.js';
import type { ServedTool } from '../../core/serve/served.js';
import type { ServeFlags } from '../arguments/flags.js';
import { argumentsOf, UsageError } from '../arguments/input.js';
import { onHost } from '../host/choose.js';
import { result } from '../terminal/result.js';
import { paint } from '../terminal/terminal.js';

export interface CallFlags extends ServeFlags {
  readonly json?: true;
  readonly input?: string;
}

/** Calls a tool from the shell, with the same checks, refusals and limits as an agent's call. */
export async function call(name: string, words: readonly string[], flags: CallFlags): Promise<void> {
  let input: unknown;
  const act = async (config: Config) => {
    const loaded = await load(config);
    try {
      const served = servedAs(name, loaded.tools);
      input ??= inputOf(served.tool.input, words, flags);
      print(await served.call(input, { signal: abortOnInterrupt(), progress: printProgress }), served, flags);
    } finally {
      await loaded.dispose();
    }
  };
  // A host takes seconds to start: whatever is wrong with the command line is found before.
  const check = async (config: Config) => {
    if (OWN_TOOLS.some((own) => own === name)) return;
    const plugins = await configuredPlugins(config);
    const { tool } = servedAs(
      name,
      plugins.flatMap(({ tools }) => tools.map((tool) => ({ tool }))),
    );
    input = inputOf(tool.input, words, flags);
    refuseInvalid(tool.input, input);
  };
  try {
    await onHost({ onRefusal: 'skip', ...flags }, act, check);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    printRefusal(error, flags.json === true);
  }
}

function servedAs<S extends { readonly tool: { readonly name: string } }>(
  name: string,
  tools: readonly S[],
): S {
  const served = tools.find(({ tool }) => tool.name === name);
  if (served !== undefined) return served;
  const near = nearestName(
    name,
    tools.map(({ tool }) => tool.name),
  );
  throw new UsageError(
    `no tool called ${JSON.stringify(name)} is served here; ${near ? `did you mean ${near}?` : 'qmcp tools --all lists all tools and why some are not served'}`,
  );
}

const inputOf = (schema: unknown, words: readonly string[], { input }: CallFlags): unknown =>
  input === undefined ? argumentsOf(schema, words) : parseInput(input, words);

/** The handle of output that a server keeps; this process, which was the server, is about to end. */
const KEPT_HERE = /:run\d+$/;

function print(output: Record<string, unknown>, { tool }: ServedTool, { json }: CallFlags): void {
  const { handle, ...rest } = output;
  const isLost = typeof handle === 'string' && KEPT_HERE.test(handle);
  const shown = isLost ? rest : output;
  process.stdout.write(`${json ? JSON.stringify(shown) : result(shown, tool.output)}\n`);
  if (isLost && ('stdout_end' in rest || 'stderr_end' in rest))
    process.stderr.write(
      'qmcp: the middle of the output is left out and not kept; to read all of it, add background=true and read it with exec_output\n',
    );
}

function parseInput(text: string, words: readonly string[]): unknown {
  if (words.length > 0) throw new UsageError('give the input either with --input or as key=value, not both');
  try {
    return JSON.parse(text === '-' ? readFileSync(0, 'utf8') : text);
  } catch (error) {
    throw new UsageError(`--input is not JSON: ${(error as Error).message}`);
  }
}

/** Exits with 2 for a malformed request, which is a fault in the command line, and with 1 for any other refusal. */
function printRefusal(error: Refused, json: boolean): void {
  process.exitCode = error.code === 'invalid-request' ? 2 : 1;
  const { code, data } = error;
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, ...(data && { data }) } })}\n`);
  const problems = (data?.problems ?? []) as { at: string; problem: string }[];
  const faults = problems.map(({ at, problem }) => ` ${at} ${problem}.`).join('');
  process.stderr.write(`qmcp: ${paint(code, 'red', process.stderr)}: ${printable(error.next + faults)}\n`);
}

function printProgress(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${paint(printable(message), 'dim', process.stderr)}\n`);
}

/** The first Ctrl-C cancels the call and lets it clean up; the second ends this process. */
function abortOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
