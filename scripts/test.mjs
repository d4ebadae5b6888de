/**
 * Runs all parts of the tests, whatever the first one says, and then says which failed.
 *
 *     npm test                      everything
 *     npm run test:unit             what is quick: the tests beside the code they test, and those of dom0's Python
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
  'cli/cli.test.ts',
  'cli/commands/new.test.ts',
];

/** By name: vitest takes a folder's name for a part of a path, and `cli` is a part of `test/cli`. */
export const unitFiles = () =>
  UNIT.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => join(folder, name)),
  ).filter((file) => !NOT_UNIT.includes(file));

/** Vitest, on these files or all; its own report on standard output, and the numbers from a file. */
async function vitest(words) {
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-report-'));
  const report = join(folder, 'report.json');
  try {
    const command = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...words];
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { status } = await ended(process.execPath, [...command, ...reporters]);
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
    // A file that cannot be loaded has no tests.
    if (ofFile === 'failed' && !assertionResults.some((one) => one.status === 'failed'))
      outcome.failures.push(`${file}: does not run`);
  }
  return settled(status, outcome);
}

/** dom0's tests in Python. They write to standard error, and so does this. */
async function pythonTests(python) {
  const words = ['-B', '-m', 'unittest', 'discover', '-s', 'dom0/tests', '-t', 'dom0'];
  const { status, said } = await ended(python, words, true);
  return pythonOutcome(status, said);
}

export function pythonOutcome(status, said) {
  const [ran = 0] = (/^Ran (\d+) tests? in /m.exec(said)?.slice(1) ?? []).map(Number);
  const summary = /^(?:OK|FAILED) \((.*)\)$/m.exec(said)?.[1] ?? '';
  const counted = (word) => Number(new RegExp(`(?:^|, )${word}=(\\d+)`).exec(summary)?.[1] ?? 0);
  const skipped = counted('skipped');
  const failures = [...said.matchAll(/^(?:FAIL|ERROR|UNEXPECTED SUCCESS): (.*)$/gm)].map(
    ([, name]) => `dom0/tests: ${name}`,
  );
  return settled(status, { passed: Math.max(0, ran - failures.length - skipped), skipped, failures });
}

/** A part that fails without a failing test has failed all the same. */
function settled(status, { passed, skipped, failures }) {
  const all = status !== 0 && failures.length === 0 ? [`it ended with ${status}`] : failures;
  return { passed, skipped, failed: all.length, failures: all };
}

/** Runs the parts one after the other. Returns what each came to. */
export async function runAll(parts) {
  const outcomes = [];
  for (const [name, run] of parts) {
    const started = performance.now();
    const outcome = await run().catch((error) =>
      settled(error.message, { passed: 0, skipped: 0, failures: [] }),
    );
    outcomes.push({ name, ...outcome, seconds: (performance.now() - started) / 1000 });
  }
  return outcomes;
}

/** What is said in the end. */
export function closing(outcomes) {
  const failures = outcomes.flatMap(({ name, failures }) => failures.map((each) => `  ${name}  ${each}`));
  const lines = outcomes.map(({ name, passed, failed, skipped, seconds }) => {
    const left = skipped > 0 ? `, ${skipped} skipped` : '';
    return `${name.padEnd(8)}${failed > 0 ? 'FAILED' : 'passed'}  ${passed} passed, ${failed} failed${left}  ${time(seconds)}`;
  });
  const sum = (key) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
  return [
    '',
    ...(failures.length > 0 ? ['Failed (npx vitest run FILE runs one file again):', ...failures, ''] : []),
    ...lines,
    `${sum('passed')} passed, ${sum('failed')} failed`,
    '',
  ].join('\n');
}

function time(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A program to its end, on this terminal. `said` is what it wrote to standard error, when that is `heard`. */
function ended(command, words, heard = false) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      cwd: ROOT,
      stdio: ['inherit', 'inherit', heard ? 'pipe' : 'inherit'],
    });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      said += text;
      process.stderr.write(text);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ status: signal ?? code, said }));
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
      `there is no ${which}: without a word everything is run, with "unit" what is quick; one file: npx vitest run FILE`,
    );
  await ready();
  // Before anything runs: without an interpreter next to nothing would pass.
  const python = (await import('../dist/sim/python.js')).python();
  const outcomes = await runAll([
    ['vitest', () => vitest(which === 'unit' ? unitFiles() : [])],
    ['Python', () => pythonTests(python)],
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
