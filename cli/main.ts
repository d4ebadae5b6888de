/** The program `qmcp`. */
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// Compiled code is kept, where this Node can: in a folder of this user's, and nobody else's.
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
(module as { enableCompileCache?: (folder: string) => void }).enableCompileCache?.(join(cache, 'qmcp'));

const { run } = await import('./run.js');
await run(process.argv.slice(2));
