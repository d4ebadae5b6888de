/** Errors in the command line or the configuration: exit code 2. */
const USAGE = ['BadConfig', 'UsageError'];

/** Output that cannot be written is a failure; a reader that went away needs no words about it. */
function failOnLostOutput({ code, message }: NodeJS.ErrnoException): void {
  if (code !== 'EPIPE') process.stderr.write(`qmcp: the output cannot be written: ${message}\n`);
  process.exit(1);
}

/** Runs a command line. Reports a failure on standard error and sets the exit code of this process. */
export async function run(words: readonly string[]): Promise<void> {
  // A server keeps its own watch over its output.
  if (words[0] !== 'serve') process.stdout.on('error', failOnLostOutput);
  try {
    const { program } = await import('./program.js');
    await program().parseAsync(words, { from: 'user' });
  } catch (error) {
    const { name, message, code, exitCode } = error as Error & { code?: string; exitCode?: number };
    // The parser has already printed the message. Its errors are recognised by code, because the build may rename the class.
    if (code?.startsWith('commander.')) {
      // Printing help on request is a success.
      process.exitCode = exitCode === 0 ? 0 : 2;
      return;
    }
    if (USAGE.includes(name)) process.exitCode = 2;
    else if (name === 'BootError')
      process.stderr.write(
        'qmcp: not started, because plugins were refused; to start without them, add --on-refusal skip\n',
      );
    process.exitCode ??= 1;
    process.stderr.write(`${message.replace(/^/gm, 'qmcp: ')}\n`);
  }
}
