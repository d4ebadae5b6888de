/** Runs the `qmcp` command, and says in which way it failed. */
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Compiled code is kept, where this Node can: in a folder of this user's, and nobody else's.
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
(module as { enableCompileCache?: (folder: string) => void }).enableCompileCache?.(join(cache, 'qmcp'));

/** Errors that are the command line's or the configuration's fault. */
const USAGE = ['BadConfig', 'UsageError'];

try {
  const { program } = await import('./program.js');
  await program().parseAsync();
} catch (error) {
  const { name, message } = error as Error;
  if (USAGE.includes(name)) process.exitCode = 2;
  else if (name === 'BootError')
    process.stderr.write('qmcp: not started, because of what follows; --on-refusal skip starts without it\n');
  process.exitCode ??= 1;
  process.stderr.write(`${message.replace(/^/gm, 'qmcp: ')}\n`);
}
