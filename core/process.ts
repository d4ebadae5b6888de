/** The process the server runs in: the one place in core that reads `process`. */
import { printable } from './boot/problems.js';
import { traceOf } from './serve/failure.js';

export const environment = (): Readonly<Record<string, string | undefined>> => process.env;
export const workingDirectory = (): string => process.cwd();
export const standardInput = (): NodeJS.ReadStream => process.stdin;

/** Lines for the operator go to standard error, escaped: an agent may have chosen some of them. */
export function log(line: string): void {
  process.stderr.write(`qmcp: ${printable(line)}\n`);
}

/** Resolves when the process is told to stop. */
export function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

/**
 * Standard output, for MCP alone: a plugin's `console.log` would be noise in the middle of a message, and goes to standard
 * error from here on.
 */
export function takeOutput(): NodeJS.WriteStream {
  const { stdout } = process;
  Object.defineProperty(process, 'stdout', { get: () => process.stderr, configurable: true });
  return stdout;
}

/** A plugin's forgotten promise, or what it throws from a timer, ends with a line for the operator and not the server. */
export function outliveStrayErrors(): void {
  if (process.listenerCount('unhandledRejection') > 0) return;
  // A closed standard error must not end the server, either.
  process.stderr.on('error', () => {});
  for (const event of ['unhandledRejection', 'uncaughtException'] as const)
    process.on(event, (error: unknown) => log(`${event}: ${traceOf(error)}`));
}
