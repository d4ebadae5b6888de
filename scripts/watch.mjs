/**
 * Keeps dist/ up to date while you work: after each change of a source, compiles what `qmcp` runs, and then runs the tests beside
 * the code that import a changed file. Ends on Ctrl-C.
 *
 *     npm run watch
 *     npm run watch -- --no-tests       compile only
 */
import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready, SOURCES } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Milliseconds without a further change after which the work begins: an editor may write several files at once. */
const QUIET = 150;
/** The folders whose tests start no server; see vitest.config.ts. */
const FOLDERS = 'core,plugins,model,sim/{adminapi,host,network,policy,qrexec},cli/{arguments,commands}';

/** The sources among these files, and a hint for each change that needs another command. */
export function planFor(files) {
  const changed = [...files].sort();
  const hints = [];
  if (changed.some((file) => file.startsWith('dom0/spec/') || /^plugins\/.*\/services\.ts$/.test(file)))
    hints.push('npm run generate writes the files that follow from this change');
  const python = changed.filter((file) => /^dom0\/.*\.py$/.test(file));
  if (python.length > 0) hints.push('npm run test:one -- NAME runs the tests of a Python module');
  return { sources: changed.filter((file) => /\.ts$/.test(file)), hints };
}

/** Calls `work` with the changed files, once per burst of changes and never twice at the same time. */
export function batches(work) {
  let changed = new Set();
  let timer;
  let running = false;
  const start = async () => {
    if (running) return;
    running = true;
    while (changed.size > 0) {
      const files = changed;
      changed = new Set();
      await work(files);
    }
    running = false;
  };
  return (file) => {
    changed.add(file);
    clearTimeout(timer);
    timer = setTimeout(start, QUIET);
  };
}

async function update(files, withTests) {
  const { sources, hints } = planFor(files);
  for (const hint of hints) say(hint);
  if (sources.length === 0) return;
  try {
    await ready();
    say('dist/ is up to date');
  } catch (error) {
    say(error.message);
    return;
  }
  if (!withTests) return;
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const words = [vitest, 'related', '--run', '--passWithNoTests', ...sources];
  await toEnd(process.execPath, words, { ...process.env, QMCP_TEST_FOLDERS: FOLDERS });
}

function toEnd(command, words, env) {
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd: ROOT, env, stdio: 'inherit' });
    child.once('error', (error) => {
      say(error.message);
      resolve();
    });
    child.once('close', resolve);
  });
}

function say(line) {
  process.stderr.write(`qmcp: ${line}\n`);
}

async function main(words) {
  const withTests = !words.includes('--no-tests');
  const unknown = words.find((word) => word !== '--no-tests');
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; allowed: --no-tests`);
  await ready();
  const changed = batches((files) => update(files, withTests));
  for (const folder of [...SOURCES, 'dom0'])
    watch(join(ROOT, folder), { recursive: true }, (_event, name) => {
      if (name !== null && !name.includes('__pycache__')) changed(join(folder, name));
    });
  say('dist/ is up to date; waiting for changes (Ctrl-C ends)');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    say(error.message);
    process.exitCode = 1;
  });
}
