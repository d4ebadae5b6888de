/** Errors that are the command line's or the configuration's fault. */
const USAGE = ['BadConfig', 'UsageError'];

/** Runs the words of a command line. Says on standard error what went wrong, and sets the exit code of this process. */
export async function run(words: readonly string[]): Promise<void> {
  try {
    const { program } = await import('./program.js');
    await program().parseAsync(words, { from: 'user' });
  } catch (error) {
    const { name, message, code, exitCode } = error as Error & { code?: string; exitCode?: number };
    // The parser has said what there is to say. Its errors are known by their code: the build may rename the class.
    if (code?.startsWith('commander.')) {
      // Help that was asked for is no failure.
      process.exitCode = exitCode === 0 ? 0 : 2;
      return;
    }
    if (USAGE.includes(name)) process.exitCode = 2;
    else if (name === 'BootError')
      process.stderr.write(
        'qmcp: not started, because of what follows; --on-refusal skip starts without it\n',
      );
    process.exitCode ??= 1;
    process.stderr.write(`${message.replace(/^/gm, 'qmcp: ')}\n`);
  }
}
