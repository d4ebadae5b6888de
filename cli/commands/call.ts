import { readFileSync } from 'node:fs';
import { Refused } from '../../core/api/index.js';
import { printable } from '../../core/boot/problems.js';
import { nearestName } from '../../core/config/fault.js';
import { load } from '../../core/main.js';
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
export function call(name: string, words: readonly string[], flags: CallFlags): Promise<void> {
  return onHost({ onRefusal: 'skip', ...flags }, async (config) => {
    const loaded = await load(config);
    try {
      await callOne(loaded.tools, name, words, flags);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      printRefusal(error, flags.json === true);
    } finally {
      await loaded.dispose();
    }
  });
}

async function callOne(
  tools: readonly ServedTool[],
  name: string,
  words: readonly string[],
  flags: CallFlags,
): Promise<void> {
  const served = tools.find(({ tool }) => tool.name === name);
  if (served === undefined) {
    const near = nearestName(
      name,
      tools.map(({ tool }) => tool.name),
    );
    throw new UsageError(
      `no tool called ${JSON.stringify(name)} is served here; ${near ? `did you mean ${near}?` : 'qmcp tools --all lists all tools and why some are not served'}`,
    );
  }
  const input =
    flags.input === undefined ? argumentsOf(served.tool.input, words) : parseInput(flags.input, words);
  const output = await served.call(input, { signal: abortOnInterrupt(), progress: printProgress });
  process.stdout.write(`${flags.json ? JSON.stringify(output) : result(output, served.tool.output)}\n`);
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
