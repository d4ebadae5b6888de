/**
 * Runs all parts of the tests, even when the first one fails, and then lists the failures.
 *
 *     npm test                      everything
 *     npm run test:unit             what is quick: the tests beside the code they test, and most of dom0's Python
 *
 * The last line is `N passed, N failed`, and the exit code is 1 when any failed.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Where the tests that `unit` runs are, and those it leaves out: there, guests and commands are processes of this machine. */
const UNIT = ['core', 'plugins', 'model', 'sim', 'cli', 'test/architecture'];
const NOT_UNIT = [
  'sim/guests/behaviour.test.ts',
  'sim/guests/bwrap.test.ts',
  'sim/guests/random-scripts.test.ts',
  'cli/cli.test.ts',
  'cli/commands/new.test.ts',
];

/** Tests of dom0 that try every call, every order or every step. */
const LONG_PYTHON = ['test_operator_crash.py', 'test_operator_freeze.py', 'test_policy_claims.py'];

/** By name: vitest takes a folder's name for a part of a path, and `cli` is a part of `test/cli`. */
export const unitFiles = () =>
  UNIT.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => join(folder, name)),
  ).filter((file) => !NOT_UNIT.includes(file));

/** The modules, for an interpreter that looks for them in dom0. */
export const unitPython = () =>
  readdirSync(join(ROOT, 'dom0/tests'))
    .filter((name) => /^test_.*\.py$/.test(name) && !LONG_PYTHON.includes(name))
    .map((name) => `tests.${name.slice(0, -'.py'.length)}`);

/** Vitest, on these files or all; its own report on standard output, and the numbers from a file. */
async function vitest(words) {
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-report-'));
  const report = join(folder, 'report.json');
  try {
    const command = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...words];
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { status } = await runToEnd(process.execPath, [...command, ...reporters]);
    return vitestOutcome(status, textOf(report));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export function vitestOutcome(status, report) {
  const results = report === undefined ? [] : JSON.parse(report).testResults;
  const outcome = { passed: 0, failed: 0, skipped: 0, failures: [] };
  for (const { name, status: ofFile, assertionResults } of results) {
    const file = relative(ROOT, name);
    for (const { status: ofTest, fullName } of assertionResults) {
      if (ofTest === 'passed') outcome.passed += 1;
      else if (ofTest === 'failed') outcome.failures.push(`${file}: ${fullName.trim()}`);
      else outcome.skipped += 1;
    }
    // A file that fails to load reports no tests.
    if (ofFile === 'failed' && !assertionResults.some((one) => one.status === 'failed'))
      outcome.failures.push(`${file}: does not run`);
  }
  return outcomeOf(status, outcome);
}

/** dom0's tests in Python. They report on standard error, so this does too. */
async function pythonTests(python, isUnit) {
  const everything = ['discover', '-s', 'dom0/tests', '-t', 'dom0'];
  const words = ['-B', '-m', 'unittest', ...(isUnit ? unitPython() : everything)];
  const { status, errors } = await runToEnd(
    python,
    words,
    true,
    isUnit ? { PYTHONPATH: join(ROOT, 'dom0') } : {},
  );
  return pythonOutcome(status, errors);
}

export function pythonOutcome(status, errors) {
  const [ran = 0] = (/^Ran (\d+) tests? in /m.exec(errors)?.slice(1) ?? []).map(Number);
  const summary = /^(?:OK|FAILED) \((.*)\)$/m.exec(errors)?.[1] ?? '';
  const counted = (word) => Number(new RegExp(`(?:^|, )${word}=(\\d+)`).exec(summary)?.[1] ?? 0);
  const skipped = counted('skipped');
  const failures = [...errors.matchAll(/^(?:FAIL|ERROR|UNEXPECTED SUCCESS): (.*)$/gm)].map(
    ([, name]) => `dom0/tests: ${name}`,
  );
  return outcomeOf(status, { passed: Math.max(0, ran - failures.length - skipped), skipped, failures });
}

/** A part that exits with an error but has no failing test counts as failed too. */
function outcomeOf(status, { passed, skipped, failures }) {
  const all = status !== 0 && failures.length === 0 ? [`it ended with ${status}`] : failures;
  return { passed, skipped, failed: all.length, failures: all };
}

/** Runs the parts in sequence. Returns the outcome of each. */
export async function runAll(parts) {
  const outcomes = [];
  for (const [name, run] of parts) {
    const started = performance.now();
    const outcome = await run().catch((error) =>
      outcomeOf(error.message, { passed: 0, skipped: 0, failures: [] }),
    );
    outcomes.push({ name, ...outcome, seconds: (performance.now() - started) / 1000 });
  }
  return outcomes;
}

/** The summary printed at the end. */
export function closing(outcomes) {
  const failures = outcomes.flatMap(({ name, failures }) => failures.map((each) => `  ${name}  ${each}`));
  const lines = outcomes.map(({ name, passed, failed, skipped, seconds }) => {
    const left = skipped > 0 ? `, ${skipped} skipped` : '';
    return `${name.padEnd(8)}${failed > 0 ? 'FAILED' : 'passed'}  ${passed} passed, ${failed} failed${left}  ${time(seconds)}`;
  });
  const sum = (key) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
  return [
    '',
    ...(failures.length > 0
      ? ['Failed (npx --no-install vitest run FILE runs one file again):', ...failures, '']
      : []),
    ...lines,
    `${sum('passed')} passed, ${sum('failed')} failed`,
    '',
  ].join('\n');
}

function time(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Runs a program on this terminal until it ends. With `captureStderr`, `errors` is its output on standard error. */
function runToEnd(command, words, captureStderr = false, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['inherit', 'inherit', captureStderr ? 'pipe' : 'inherit'],
    });
    let errors = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      errors += text;
      process.stderr.write(text);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ status: signal ?? code, errors }));
  });
}

function textOf(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function main([which]) {
  if (which !== undefined && which !== 'unit')
    throw new Error(
      `there is no ${which}: without a word everything is run, with "unit" what is quick; one file: npx --no-install vitest run FILE`,
    );
  await ready();
  // Check this first, because almost every test needs the interpreter.
  const python = (await import('../dist/sim/python.js')).python();
  const outcomes = await runAll([
    ['vitest', () => vitest(which === 'unit' ? unitFiles() : [])],
    ['Python', () => pythonTests(python, which === 'unit')],
  ]);
  process.stdout.write(closing(outcomes));
  if (outcomes.some(({ failed }) => failed > 0)) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exitCode = 2;
  });
}
