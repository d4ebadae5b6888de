/**
 * Writes all committed files that are generated: first those made from dom0/spec alone, then, after compiling them, the rest.
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
  // A type error may come from an outdated file that the next step rewrites; the compiler emits the generator all the same.
  process.stderr.write('qmcp: trying again with what is made of dom0/spec\n');
}
run('dist/cli/generate/before.js');
await ready();
run('dist/cli/generate/main.js');
