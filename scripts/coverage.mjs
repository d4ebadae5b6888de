/**
 * Prints which part of the product's lines the tests run: TypeScript by all of vitest's tests, in their own process, and dom0's
 * Python by the tests in dom0/tests. Processes that a test starts, such as a server or qmcpd, are not counted.
 *
 *     npm run coverage                    everything
 *     npm run coverage -- unit            the tests of npm run test:unit, without dom0's interleavings
 *     npm run coverage -- --files         a row for each file instead of each folder
 *
 * It is a report for people, not a check: `npm run teeth` shows whether the tests notice a missing line.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready, SOURCES } from './ready.mjs';
import { unitFiles } from './test.mjs';
import { pythons } from './versions.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PRODUCT = SOURCES.filter((folder) => folder !== 'bench');
const WORDS = ['unit', '--files'];

/** Adds files up to their folders: `{ name: { executed, lines } }` in the order of the names. */
export function byFolder(files) {
  const folders = {};
  for (const [file, { executed, lines }] of Object.entries(files)) {
    folders[dirname(file)] ??= { executed: 0, lines: 0 };
    const sum = folders[dirname(file)];
    sum.executed += executed;
    sum.lines += lines;
  }
  return folders;
}

/** The rows as text, with their sum. A row without lines is left out. */
export function table(rows) {
  const all = Object.entries(rows)
    .filter(([, { lines }]) => lines > 0)
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const sum = (key) => all.reduce((total, [, counts]) => total + counts[key], 0);
  const entries = [...all, ['all', { executed: sum('executed'), lines: sum('lines') }]];
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries
    .map(([name, { executed, lines }]) => {
      const percent = lines === 0 ? '-' : ((100 * executed) / lines).toFixed(1);
      return `${name.padEnd(width)}  ${percent.padStart(5)} %  ${executed} of ${lines}\n`;
    })
    .join('');
}

function typescript(folder, unit) {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const options = [
    ...['--coverage.enabled', '--coverage.provider=v8', '--coverage.reporter=json-summary'],
    ...[`--coverage.reportsDirectory=${folder}`, '--coverage.reportOnFailure'],
    ...PRODUCT.map((name) => `--coverage.include=${name}/**/*.ts`),
    '--coverage.exclude=**/*.test.ts',
  ];
  const { status } = run(process.execPath, [vitest, 'run', ...(unit ? unitFiles() : []), ...options]);
  const summary = JSON.parse(readFileSync(join(folder, 'coverage-summary.json'), 'utf8'));
  delete summary.total;
  const files = Object.entries(summary)
    .map(([path, { lines }]) => [relative(ROOT, path), { executed: lines.covered, lines: lines.total }])
    // Vitest also reports helpers of tests.
    .filter(([path]) => PRODUCT.includes(path.split('/')[0]));
  return { status, files: Object.fromEntries(files) };
}

async function dom0(folder, unit) {
  const { python } = await import('../dist/sim/python.js');
  const output = join(folder, 'dom0.json');
  const tests = readdirSync(join(ROOT, 'dom0/tests'))
    .filter((name) => /^test_.*\.py$/.test(name))
    .map((name) => `tests.${name.replace(/\.py$/, '')}`);
  // From 3.12 on, Python counts lines at almost no cost; before, the tests take several times as long.
  const newest = pythons(python(), []).at(-1)?.path ?? python();
  const { status } = run(newest, ['-B', 'scripts/coverage.py', output, ...(unit ? tests : [])]);
  const counts = Object.entries(JSON.parse(readFileSync(output, 'utf8')));
  return {
    status,
    files: Object.fromEntries(counts.map(([file, [executed, lines]]) => [file, { executed, lines }])),
  };
}

function run(command, words) {
  const result = spawnSync(command, words, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (result.error) throw result.error;
  return result;
}

async function main(words) {
  const unknown = words.find((word) => !WORDS.includes(word));
  if (unknown !== undefined) throw new Error(`unknown argument ${unknown}; allowed: ${WORDS.join(', ')}`);
  await ready();
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-coverage-'));
  try {
    const unit = words.includes('unit');
    const parts = [typescript(folder, unit), await dom0(folder, unit)];
    const rows = words.includes('--files') ? (files) => files : byFolder;
    process.stdout.write(parts.map(({ files }) => `\n${table(rows(files))}`).join(''));
    if (parts.some(({ status }) => status !== 0)) {
      process.stderr.write('qmcp: a test failed, so the figures may be too low\n');
      process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exitCode = 2;
  });
}
