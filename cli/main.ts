/** The program `qmcp`. */
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Milliseconds for the last output of a server to reach a client that reads. */
const EXIT_MILLISECONDS = 100;

// Cache compiled code if this Node can. The folder is the user's own, because whoever can write there can run code here.
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
(module as { enableCompileCache?: (folder: string) => void }).enableCompileCache?.(join(cache, 'qmcp'));

const { run } = await import('./run.js');
const words = process.argv.slice(2);
await run(words);
// A server that is done leaves, even if a plugin's timer or output that nobody reads would keep the process alive.
if (words[0] === 'serve') setTimeout(() => process.exit(), EXIT_MILLISECONDS).unref();
