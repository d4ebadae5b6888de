/** Runs the `qmcp` command, and says in which way it failed. */
import { program } from './program.js';

/** Errors that are the command line's or the configuration's fault. */
const USAGE = ['BadConfig', 'UsageError'];

try {
  await program().parseAsync();
} catch (error) {
  const { name, message } = error as Error;
  if (USAGE.includes(name)) process.exitCode = 2;
  else if (name === 'BootError')
    process.stderr.write('qmcp: not started, because of what follows; --on-refusal skip starts without it\n');
  process.exitCode ??= 1;
  process.stderr.write(`${message.replace(/^/gm, 'qmcp: ')}\n`);
}
