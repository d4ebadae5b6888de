/** Errors in the command line or the configuration: exit code 2. */
const USAGE = ['BadConfig', 'UsageError'];

/** Runs a command line. Reports a failure on standard error and sets the exit code of this process. */
export async function run(words: readonly string[]): Promise<void> {
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
