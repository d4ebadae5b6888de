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

/** A tool from the shell: the same checks, the same refusals, the same limits as an agent's call. */
export function call(name: string, words: readonly string[], flags: CallFlags): Promise<void> {
  return onHost({ onRefusal: 'skip', ...flags }, async (config) => {
    const loaded = await load(config);
    try {
      await callOne(loaded.tools, name, words, flags);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refused(error, flags.json === true);
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
      `no tool ${JSON.stringify(name)} is served here; ${near ? `did you mean ${near}?` : 'qmcp tools --all says which are, and why others are not'}`,
    );
  }
  const input = flags.input === undefined ? argumentsOf(served.tool.input, words) : given(flags.input, words);
  const output = await served.call(input, { signal: interrupted(), progress });
  process.stdout.write(`${flags.json ? JSON.stringify(output) : result(output, served.tool.output)}\n`);
}

function given(text: string, words: readonly string[]): unknown {
  if (words.length > 0) throw new UsageError('say the input as --input or as key=value, not both');
  try {
    return JSON.parse(text === '-' ? readFileSync(0, 'utf8') : text);
  } catch (error) {
    throw new UsageError(`--input is not JSON: ${(error as Error).message}`);
  }
}

/** A malformed request is the command line's fault, any other refusal is dom0's answer. */
function refused(error: Refused, json: boolean): void {
  process.exitCode = error.code === 'invalid-request' ? 2 : 1;
  const { code, data } = error;
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, ...(data && { data }) } })}\n`);
  const problems = (data?.problems ?? []) as { at: string; problem: string }[];
  const faults = problems.map(({ at, problem }) => ` ${at} ${problem}.`).join('');
  process.stderr.write(`qmcp: ${paint(code, 'red', process.stderr)}: ${printable(error.next + faults)}\n`);
}

function progress(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${paint(printable(message), 'dim', process.stderr)}\n`);
}

/** Ctrl-C ends the call, and lets it clean up; a second one ends this process. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
