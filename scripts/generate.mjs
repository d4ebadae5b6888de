/**
 * Writes everything that is committed but derived: first what is made of dom0/spec, then, with that compiled, the rest.
 *
 *     npm run generate
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function run(program) {
  const { status, error } = spawnSync(process.execPath, [program], { cwd: ROOT, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

try {
  await ready();
} catch {
  // What does not fit the types may be what is about to be written; the compiler has left what writes it.
  process.stderr.write('qmcp: trying again with what is made of dom0/spec\n');
}
run('dist/cli/generate/before.js');
await ready();
run('dist/cli/generate/main.js');
