import { readFileSync } from 'node:fs';
import { nearest } from '../../core/config/fault.js';
import { configuration, load, printable, Refused } from '../../core/main.js';
import { argumentsOf, UsageError } from '../arguments/input.js';
import { chooseHost } from '../host/choose.js';
import { result } from '../terminal/result.js';
import { paint } from '../terminal/terminal.js';
import { asked, type ServeFlags } from './serve.js';

export interface CallFlags extends ServeFlags {
  readonly json?: true;
  readonly input?: string;
}

/** A tool from the shell: the same checks, the same refusals, the same limits as an agent's call. */
export async function call(name: string, words: readonly string[], flags: CallFlags): Promise<void> {
  const host = await chooseHost(flags);
  try {
    const loaded = await load(await configuration(asked({ onRefusal: 'skip', ...flags }, host.client)));
    try {
      const served = loaded.tools.find(({ tool }) => tool.name === name);
      if (served === undefined) {
        const near = nearest(
          name,
          loaded.tools.map(({ tool }) => tool.name),
        );
        throw new UsageError(
          `no tool ${JSON.stringify(name)} is served here; ${near ? `did you mean ${near}?` : 'qmcp tools --all says which are, and why others are not'}`,
        );
      }
      const input =
        flags.input === undefined ? argumentsOf(served.tool.input, words) : given(flags.input, words);
      const output = await served.call(input, { signal: interrupted(), progress });
      process.stdout.write(`${flags.json ? JSON.stringify(output) : result(output, served.tool.output)}\n`);
    } finally {
      await loaded.dispose();
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    refused(error, flags.json === true);
  } finally {
    await host.stop();
  }
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
