/**
 * Mutation test of dom0: removes each line marked `# INVARIANT id`, one at a time and in a copy, and runs the tests that cite
 * that id. If they all pass without the line, the line either enforces nothing or is not tested.
 *
 *     npm run teeth -- [--only ID] [--jobs N] [--for SECONDS] [--all]
 *
 * `--for` picks random lines until the time is over. `--all` also runs the tests that do not cite the id, which takes long.
 * QMCP_SEED=… repeats the order of a run that printed this seed. Exits with 1 when all tests pass without a line.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ready } from './ready.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** The parts of the repository that the tests need. They are copied, because Node resolves a module from its real path. */
const SOURCES = [
  'dom0',
  'core',
  'plugins',
  'model',
  'sim',
  'testing',
  'cli',
  'test',
  'guest',
  'config',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
];
const LINKED = ['node_modules', 'dist'];
/** Folders of tests, with the suffix of the test files. */
const SUITES = { 'test/security': '.test.ts', 'test/operator': '.test.ts', 'dom0/tests': '.py' };
/** The policy generator. The tests use its output for the shipped contracts, so the output is regenerated after a change of it. */
const GENERATOR = 'dom0/policy/generate.py';
const GENERATE = `
from policy.generate import generate
from settings import config, contracts
print(generate(config.load('qmcp.toml').worlds, contracts.load('contracts')[0]), end='')
`;
const POLICY = 'dom0/policy/30-qmcp.policy';
/** Minutes after which a test run counts as failed. */
const TIMEOUT_MINUTES = 10;
/** Keep searches short: a failure that only a long search finds would not appear in an ordinary test run either. */
const ENVIRONMENT = { QMCP_PAIRS: '60', QMCP_SEED: '1', FORCE_COLOR: '0' };

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    for: { type: 'string' },
    all: { type: 'boolean', default: false },
  },
});
const colour = (code, text) => (process.stdout.isTTY ? `\u001b[${code}m${text}\u001b[0m` : text);

/** The Python interpreter; set in main, after compiling. */
let python;

/** A copy of the repository in which dom0 can be changed. One test run at a time. */
class Copy {
  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'qmcp-teeth-'));
    for (const name of SOURCES)
      if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(this.root, name), { recursive: true });
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(this.root, name));
  }

  /** Runs test files; returns the first failure, or undefined. */
  async run(files) {
    for (const file of files.filter((one) => one.endsWith('.py'))) {
      const { status, output } = await this.ended(python, [
        ...['-B', '-m', 'unittest', 'discover', '-f', '-s', 'dom0/tests', '-t', 'dom0', '-p', basename(file)],
      ]);
      if (status !== 0)
        return { file, test: /^(?:FAIL|ERROR): (\S+)/m.exec(output)?.[1] ?? lastLine(output) };
    }
    const suites = files.filter((file) => file.endsWith('.ts'));
    if (suites.length === 0) return undefined;
    const report = join(this.root, 'report.json');
    rmSync(report, { force: true });
    const { status, output } = await this.ended(process.execPath, [
      ...[join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--bail=1', '--maxWorkers=1'],
      ...['--reporter=json', `--outputFile=${report}`, ...suites],
    ]);
    if (status === 0) return undefined;
    return existsSync(report)
      ? firstFailure(JSON.parse(readFileSync(report, 'utf8')), this.root)
      : { file: suites[0], test: lastLine(output) };
  }

  /** Regenerates the policy with the current generator. */
  generate() {
    const options = { cwd: join(this.root, 'dom0'), encoding: 'utf8' };
    const { stdout } = spawnSync(python, ['-B', '-c', GENERATE], options);
    if (stdout !== '') writeFileSync(join(this.root, POLICY), stdout);
  }

  ended(command, words) {
    return new Promise((resolve) => {
      const options = {
        cwd: this.root,
        env: { ...process.env, ...ENVIRONMENT },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      };
      const child = spawn(command, words, options);
      this.child = child;
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text) => {
          output = (output + text).slice(-100_000);
        });
      const timer = setTimeout(() => {
        output += `\nit did not end within ${TIMEOUT_MINUTES} minutes`;
        this.stop();
      }, TIMEOUT_MINUTES * 60_000);
      child.once('close', (status) => {
        clearTimeout(timer);
        this.child = undefined;
        resolve({ status, output });
      });
    });
  }

  /** Kills the current test run with all its child processes. */
  stop() {
    try {
      if (this.child !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // The process has already ended.
    }
  }

  remove() {
    this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

function firstFailure({ testResults }, root) {
  for (const { name, status, message, assertionResults } of testResults) {
    const file = name.slice(root.length + 1);
    const failed = assertionResults.find((one) => one.status === 'failed');
    if (failed !== undefined) return { file, test: failed.fullName.trim(), why: failed.failureMessages[0] };
    if (status === 'failed') return { file, test: `does not run: ${message.split('\n')[0]}` };
  }
  return { file: '', test: 'the run failed without a failing test' };
}

const lastLine = (text) => text.trim().split('\n').at(-1);

/** Every marked line, with the text of its file without that line. */
function mutations() {
  const { status, stdout, stderr } = spawnSync(
    python,
    ['-B', join(ROOT, 'scripts/teeth.py'), join(ROOT, 'dom0')],
    {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    },
  );
  if (status !== 0) throw new Error(stderr.trim());
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

/** Every test file with the ids that it cites. */
function testFiles() {
  return Object.entries(SUITES).flatMap(([folder, end]) =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => name.endsWith(end))
      .map((name) => {
        const file = join(folder, name);
        const cited = readFileSync(join(ROOT, file), 'utf8').matchAll(/\bINVARIANT ([a-z]+\.[a-z-]+)/g);
        return { file, cites: new Set([...cited].map(([, id]) => id)) };
      }),
  );
}

/** How many mutations of each source file each test file has detected so far. */
const detections = new Map();

/** The test files in groups: those that cite the id and detected a change of this file before, the others that cite it, and with --all the rest. */
function groupsFor(files, { id, file: changed }) {
  const citing = files.filter(({ cites }) => cites.has(id)).map(({ file }) => file);
  const likely = citing.filter((file) => detections.get(`${file} ${changed}`) > 0);
  const others = files.map(({ file }) => file).filter((file) => !citing.includes(file));
  const groups = [likely, citing.filter((file) => !likely.includes(file)), values.all ? others : []];
  return groups.filter((group) => group.length > 0);
}

async function verdict(copy, files, mutant) {
  const originals = new Map([mutant.file, POLICY].map((file) => [file, readFileSync(join(copy.root, file))]));
  writeFileSync(join(copy.root, mutant.file), mutant.text);
  if (mutant.file === GENERATOR) copy.generate();
  try {
    return await firstFailingTest(copy, groupsFor(files, mutant), mutant);
  } finally {
    for (const [file, bytes] of originals) writeFileSync(join(copy.root, file), bytes);
  }
}

/** A failure counts only when it can be repeated. */
async function firstFailingTest(copy, [group, ...groups], mutant) {
  if (group === undefined) return undefined;
  const failure = await copy.run(group);
  if (failure === undefined) return firstFailingTest(copy, groups, mutant);
  const others = group.filter((file) => file !== failure.file);
  if (others.length < group.length && (await copy.run([failure.file])) === undefined)
    return firstFailingTest(copy, [others, ...groups], mutant);
  const key = `${failure.file} ${mutant.file}`;
  detections.set(key, (detections.get(key) ?? 0) + 1);
  return failure;
}

/** The same seed gives the same order. */
function shuffled(all, seed) {
  const order = all.map((one, at) => [createHash('sha256').update(`${seed} ${at}`).digest('hex'), one]);
  return order.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, one]) => one);
}

function progress(done, all, what) {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\u001b[K[${done}/${all}] ${what}`.slice(0, process.stderr.columns ?? 80));
}

function row({ id, file, line, how }, failure, width) {
  const text = failure ? `${colour(2, failure.file)} ${failure.test}` : colour(31, `SURVIVED (${how})`);
  console.log(`${id.padEnd(width.id)}  ${`${file}:${line}`.padEnd(width.place)}  ${text}`);
}

async function main() {
  await ready();
  python = (await import('../dist/sim/python.js')).python();
  const all = mutations();
  const seed = process.env.QMCP_SEED ?? String(Date.now() % 2 ** 31);
  const chosen = all.filter(({ id }) => values.only === undefined || id === values.only);
  const mutants = values.for === undefined ? chosen : shuffled(chosen, seed);
  if (mutants.length === 0)
    throw new Error(
      `no line is marked ${values.only}; marked ids: ${[...new Set(all.map(({ id }) => id))].join(', ')}`,
    );
  const files = testFiles();
  const jobs = Math.min(Math.max(1, Number(values.jobs) || 1), mutants.length);
  const copies = Array.from({ length: jobs }, () => new Copy());
  const clean = () => {
    for (const copy of copies) copy.remove();
  };
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => {
      clean();
      process.exit(130);
    });
  try {
    // With --for, do not check first that the tests pass unchanged; each failure is still confirmed by a second run.
    progress(0, mutants.length, 'running the tests unchanged');
    const needed = files.filter(({ cites }) => values.all || mutants.some(({ id }) => cites.has(id)));
    const halves = copies.map((_, job) =>
      values.for === undefined ? needed.map(({ file }) => file).filter((_, at) => at % jobs === job) : [],
    );
    const failing = (await Promise.all(copies.map((copy, job) => copy.run(halves[job])))).find(Boolean);
    if (failing)
      throw new Error(
        `a test fails without any change, so the results would mean nothing: ${failing.file} ${failing.test}\n${failing.why ?? ''}`,
      );

    const width = {
      id: Math.max(...mutants.map(({ id }) => id.length)),
      place: Math.max(...mutants.map(({ file, line }) => `${file}:${line}`.length)),
    };
    const until = performance.now() + Number(values.for ?? Number.POSITIVE_INFINITY) * 1000;
    const waiting = [...mutants];
    let done = 0;
    let survived = 0;
    await Promise.all(
      copies.map(async (copy) => {
        while (waiting.length > 0 && performance.now() < until) {
          const mutant = waiting.shift();
          progress(done, mutants.length, `${mutant.id} ${mutant.file}:${mutant.line}`);
          const failure = await verdict(copy, files, mutant);
          done += 1;
          if (failure === undefined) survived += 1;
          progress(done, mutants.length, '');
          if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
          row(mutant, failure, width);
        }
      }),
    );
    const order = values.for === undefined ? '' : `; random order (seed ${seed})`;
    console.log(
      `${done} of ${all.length} lines removed${order}: tests failed for ${done - survived}, all tests passed for ${survived}`,
    );
    process.exitCode = survived > 0 ? 1 : 0;
  } finally {
    clean();
  }
}

await main().catch((error) => {
  process.stderr.write(`qmcp: ${error.message}\n`);
  process.exitCode = 2;
});
