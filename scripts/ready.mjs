/**
 * Makes a source checkout ready to run: installs the packages of package-lock.json when they are missing or outdated, and compiles
 * changed sources. Prints nothing when there is nothing to do, and never writes to standard output, which may be an MCP
 * connection. One process does this at a time; the others wait.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** The folders of compiled sources. */
export const SOURCES = ['core', 'plugins', 'model', 'sim', 'testing', 'cli', 'bench'];
const LOCK = join(ROOT, 'dist', '.ready.lock');
const STAMP = join(ROOT, 'dist', '.ready');

export async function ready() {
  const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const oldest = engines.node.replace('>=', '');
  if (isOlder(process.versions.node, oldest))
    throw new Error(
      `${process.execPath} is Node ${process.versions.node}; qmcp needs ${oldest} or later: install it, and put it first in PATH.`,
    );
  if (installed() && built()) return;
  await locked(async () => {
    if (!installed()) {
      say('installing dependencies (once)');
      run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
    }
    if (!built()) {
      say('compiling');
      const started = new Date();
      compile();
      await flattened();
      writeFileSync(STAMP, '');
      // Use the start time, so that a source saved while the compiler ran counts as newer.
      utimesSync(STAMP, started, started);
    }
  });
}

/** Compares two versions of three numbers each. */
export function isOlder(version, than) {
  const [ours, theirs] = [version, than].map((text) => text.split('.').map(Number));
  const at = ours.findIndex((number, index) => number !== theirs[index]);
  return at >= 0 && ours[at] < theirs[at];
}

/** Whether node_modules matches package-lock.json, by time or, because git also changes times, by content. */
function installed() {
  const [present, wanted] = ['node_modules/.package-lock.json', 'package-lock.json'].map((name) =>
    join(ROOT, name),
  );
  if (modified(present) === 0) return false;
  return modified(present) >= modified(wanted) || isInstalled(packagesOf(present), packagesOf(wanted));
}

/** Optional packages may be missing, because npm skips those for other platforms. */
export function isInstalled(present, wanted) {
  const same = (path) =>
    present[path].version === wanted[path]?.version && present[path].integrity === wanted[path]?.integrity;
  return (
    Object.keys(present).every(same) &&
    Object.entries(wanted).every(([path, { optional }]) => path === '' || optional || path in present)
  );
}

const packagesOf = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;

/** In one thread, because each further thread would check the types of all libraries again. */
function compile() {
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  run(process.execPath, [compiler, '-p', 'tsconfig.build.json', '--singleThreaded']);
}

async function flattened() {
  const { flatten } = await import('./flatten.mjs');
  await flatten(ROOT);
}

function built() {
  const since = modified(STAMP);
  if (since === 0) return false;
  const config = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/flatten.mjs'];
  return [...config.map((name) => join(ROOT, name)), ...SOURCES.flatMap(sources)].every(
    (path) => modified(path) <= since,
  );
}

function sources(folder) {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|json)$/.test(entry.name) && !entry.name.endsWith('.test.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** The modification time in milliseconds; 0 when the file does not exist. */
function modified(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

async function locked(work) {
  mkdirSync(dirname(LOCK), { recursive: true });
  while (!take()) await new Promise((resolve) => setTimeout(resolve, 100));
  try {
    await work();
  } finally {
    rmSync(LOCK, { recursive: true, force: true });
  }
}

function take() {
  try {
    mkdirSync(LOCK);
    writeFileSync(join(LOCK, 'pid'), String(process.pid));
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (abandoned()) rmSync(LOCK, { recursive: true, force: true });
    return false;
  }
}

/** Whether the process that took the lock has ended. A lock without a pid has only just been taken. */
function abandoned() {
  try {
    process.kill(Number(readFileSync(join(LOCK, 'pid'), 'utf8')), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function run(command, args) {
  // npm is a script that looks for node in PATH; let it find the node that runs this.
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };
  const { status, error } = spawnSync(command, args, { cwd: ROOT, env, stdio: ['ignore', 2, 2] });
  if (error) throw new Error(`${command} does not run (${error.code ?? error.message}): is it in PATH?`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}

function say(line) {
  process.stderr.write(`qmcp: ${line}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await ready().catch((error) => {
    say(error.message);
    process.exitCode = 1;
  });
}
