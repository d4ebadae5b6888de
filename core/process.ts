/** The process that the server runs in: the one place in core that reads `process`. */
import { printable } from './boot/problems.js';
import { type DebugChannel, parseDebugChannels } from './config/debug.js';
import { errorTrace } from './serve/failure.js';

export const environment = (): Readonly<Record<string, string | undefined>> => process.env;
export const workingDirectory = (): string => process.cwd();
export const standardInput = (): NodeJS.ReadStream => process.stdin;

/** Writes lines for the operator to standard error, escaped: parts of them may come from an agent. */
export function log(line: string): void {
  process.stderr.write(`qmcp: ${printable(line)}\n`);
}

/** The channels that QMCP_DEBUG names. Throws BadConfig for an unknown one. */
export const debugChannels = (): ReadonlySet<DebugChannel> =>
  parseDebugChannels(environment().QMCP_DEBUG ?? '');

/** Writes one line to standard error, escaped, if QMCP_DEBUG names the channel. */
export function debug(channel: DebugChannel, line: string): void {
  if (!debugChannels().has(channel)) return;
  process.stderr.write(`qmcp [${channel}]: ${printable(line).replaceAll('\n', '\\n')}\n`);
}

/** Resolves when the process is told to stop. */
export function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

/**
 * Reserves standard output for MCP. A plugin's `console.log` would break a message, so from here on it goes to standard
 * error.
 */
export function reserveStdout(): NodeJS.WriteStream {
  const { stdout } = process;
  Object.defineProperty(process, 'stdout', { get: () => process.stderr, configurable: true });
  return stdout;
}

/** Logs errors that nobody handles, such as one that a plugin throws in a timer, and keeps the server running. */
export function logStrayErrors(): void {
  if (process.listenerCount('unhandledRejection') > 0) return;
  // A closed standard error must not end the server, either.
  process.stderr.on('error', () => {});
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    process.on(event, (error: unknown) => log(`${event}: ${errorTrace(error)}`));
}
