/**
 * Do the tests bite? Takes the lines of dom0 marked `# INVARIANT id` out, one at a time and in a copy, and runs the tests
 * that cite that id. A line without which they all pass is either not enforcing anything or not tested.
 *
 *     npm run teeth -- [--only ID] [--jobs N] [--for SECONDS] [--all]
 *
 * `--for` takes lines by chance until the time is over; `--all` has the tests that do not cite the id try, too, which takes
 * long. QMCP_SEED=… repeats the order, which is printed. Exits with 1 when a line survives.
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
/** What the tests need of the repository. Copied, since a module's files are looked for beside its real path. */
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
/** Where tests are, and what they end with. */
const SUITES = { 'test/security': '.test.ts', 'test/operator': '.test.ts', 'dom0/tests': '.py' };
/** The generator of the policy, and its output for what ships: the tests use that, and so it is made anew. */
const GENERATOR = 'dom0/policy/generate.py';
const GENERATE = `
from policy.generate import generate
from settings import config, contracts
print(generate(config.load('qmcp.toml').worlds, contracts.load('contracts')[0]), end='')
`;
const POLICY = 'dom0/policy/30-qmcp.policy';
/** Minutes after which a run that does not end has died, too. */
const PATIENCE = 10;
/** A line whose absence shows only in a long search would not be tested by an ordinary run either. */
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

/** The interpreter, known once everything is compiled. */
let python;

/** A copy of the repository in which dom0 can be changed. One test run at a time. */
class Copy {
  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'qmcp-teeth-'));
    for (const name of SOURCES)
      if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(this.root, name), { recursive: true });
    for (const name of LINKED) symlinkSync(join(ROOT, name), join(this.root, name));
  }

  /** What died first, or undefined. `files` are paths of test files. */
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

  /** The policy for what ships, by the generator as it now is. */
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
        output += `\nit did not end within ${PATIENCE} minutes`;
        this.stop();
      }, PATIENCE * 60_000);
      child.once('close', (status) => {
        clearTimeout(timer);
        this.child = undefined;
        resolve({ status, output });
      });
    });
  }

  /** Whatever runs, with all that it started. */
  stop() {
    try {
      if (this.child !== undefined) process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // it has just ended
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
  return { file: '', test: 'the run failed, and no test of it' };
}

const lastLine = (text) => text.trim().split('\n').at(-1);

/** Every marked line, and dom0's file without it. */
function marked() {
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

/** Every test file, and the ids it cites. */
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

/** Which files have killed what, so far. */
const killers = new Map();

/** The files to try, in groups: what cites the id and killed a neighbour, what else cites it, and, if asked for, the others. */
function groupsFor(files, { id, file: changed }) {
  const citing = files.filter(({ cites }) => cites.has(id)).map(({ file }) => file);
  const likely = citing.filter((file) => killers.get(`${file} ${changed}`) > 0);
  const others = files.map(({ file }) => file).filter((file) => !citing.includes(file));
  const groups = [likely, citing.filter((file) => !likely.includes(file)), values.all ? others : []];
  return groups.filter((group) => group.length > 0);
}

async function verdict(copy, files, mutant) {
  const whole = new Map([mutant.file, POLICY].map((file) => [file, readFileSync(join(copy.root, file))]));
  writeFileSync(join(copy.root, mutant.file), mutant.text);
  if (mutant.file === GENERATOR) copy.generate();
  try {
    return await firstDeath(copy, groupsFor(files, mutant), mutant);
  } finally {
    for (const [file, bytes] of whole) writeFileSync(join(copy.root, file), bytes);
  }
}

/** A death that does not repeat itself was chance, and is none. */
async function firstDeath(copy, [group, ...groups], mutant) {
  if (group === undefined) return undefined;
  const death = await copy.run(group);
  if (death === undefined) return firstDeath(copy, groups, mutant);
  const others = group.filter((file) => file !== death.file);
  if (others.length < group.length && (await copy.run([death.file])) === undefined)
    return firstDeath(copy, [others, ...groups], mutant);
  const key = `${death.file} ${mutant.file}`;
  killers.set(key, (killers.get(key) ?? 0) + 1);
  return death;
}

/** The same order for the same seed. */
function shuffled(all, seed) {
  const order = all.map((one, at) => [createHash('sha256').update(`${seed} ${at}`).digest('hex'), one]);
  return order.sort(([one], [other]) => (one < other ? -1 : 1)).map(([, one]) => one);
}

function progress(done, all, what) {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\u001b[K[${done}/${all}] ${what}`.slice(0, process.stderr.columns ?? 80));
}

function row({ id, file, line, how }, death, width) {
  const said = death ? `${colour(2, death.file)} ${death.test}` : colour(31, `SURVIVED (${how})`);
  console.log(`${id.padEnd(width.id)}  ${`${file}:${line}`.padEnd(width.place)}  ${said}`);
}

async function main() {
  await ready();
  python = (await import('../dist/sim/python.js')).python();
  const all = marked();
  const seed = process.env.QMCP_SEED ?? String(Date.now() % 2 ** 31);
  const chosen = all.filter(({ id }) => values.only === undefined || id === values.only);
  const mutants = values.for === undefined ? chosen : shuffled(chosen, seed);
  if (mutants.length === 0)
    throw new Error(
      `no line is marked ${values.only}; there are ${[...new Set(all.map(({ id }) => id))].join(', ')}`,
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
    // In a hurry it is taken on trust that the tests pass as they are: a death is looked at twice all the same.
    progress(0, mutants.length, 'the tests as they are');
    const needed = files.filter(({ cites }) => values.all || mutants.some(({ id }) => cites.has(id)));
    const halves = copies.map((_, job) =>
      values.for === undefined ? needed.map(({ file }) => file).filter((_, at) => at % jobs === job) : [],
    );
    const failing = (await Promise.all(copies.map((copy, job) => copy.run(halves[job])))).find(Boolean);
    if (failing)
      throw new Error(
        `fails as it is, so that nothing can be told by it: ${failing.file} ${failing.test}\n${failing.why ?? ''}`,
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
          const death = await verdict(copy, files, mutant);
          done += 1;
          if (death === undefined) survived += 1;
          progress(done, mutants.length, '');
          if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
          row(mutant, death, width);
        }
      }),
    );
    const order = values.for === undefined ? '' : `, by chance (seed ${seed})`;
    console.log(
      `${done} of ${all.length} lines taken out${order}: ${done - survived} are missed by a test, ${survived} by none`,
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
