/** The program `qmcp`. */
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Cache compiled code if this Node can. The folder is the user's own, because whoever can write there can run code here.
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
(module as { enableCompileCache?: (folder: string) => void }).enableCompileCache?.(join(cache, 'qmcp'));

const { run } = await import('./run.js');
await run(process.argv.slice(2));
