/**
 * Formats and lints every Python file of the repository with ruff, and checks their types with pyright. Both are development
 * dependencies and do not ship.
 *
 *     node scripts/python.mjs           report problems; exits with 1 when there are any
 *     node scripts/python.mjs --write   format the files in place
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PositionEncoding, Workspace } from '@astral-sh/ruff-wasm-nodejs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** It reads pyrightconfig.json, which lists the folders it checks. */
const PYRIGHT = join(ROOT, 'node_modules/pyright/index.js');
/** ANN: every parameter and every result has a type. */
const RULES = ['E4', 'E7', 'E9', 'F', 'B', 'C4', 'I', 'UP', 'SIM', 'PIE', 'RET', 'RUF', 'ANN0', 'ANN2'];

/** dom0 has Python 3.11 or later; a template may have 3.9. */
const settingsFor = (version) => ({
  'target-version': version,
  'line-length': 100,
  'indent-width': 4,
  format: { 'indent-style': 'space', 'quote-style': 'double' },
  lint: {
    select: RULES,
    // RUF001-003: messages and tests contain other alphabets on purpose. RUF012: these class attributes are never changed.
    // SIM115: some files in tests stay open after their function returns.
    ignore: ['RUF001', 'RUF002', 'RUF003', 'RUF012', 'SIM115', ...(version === 'py39' ? ['B905'] : [])],
  },
});
const IN_A_QUBE = /^(guest|examples\/vault\/guest)\//;

const write = process.argv.includes('--write');
const [older, newer] = ['py39', 'py311'].map(
  (version) => new Workspace(settingsFor(version), PositionEncoding.Utf16),
);
const problems = [];
for (const file of pythonFiles()) {
  const path = join(ROOT, file);
  const ruff = IN_A_QUBE.test(file) ? older : newer;
  const text = readFileSync(path, 'utf8');
  const formatted = ruff.format(text);
  if (formatted !== text) {
    if (write) writeFileSync(path, formatted);
    else problems.push(`${file}: not formatted: npm run format`);
  }
  for (const { code, message, start_location: at } of ruff.check(formatted))
    problems.push(`${file}:${at.row}:${at.column}: ${code} ${message}`);
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
if (!write) checkTypes();

function checkTypes() {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PYRIGHT], { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return;
  console.error(stdout + stderr);
  process.exitCode = 1;
}

/** Python files known to git, and programs whose first line names python3. */
function pythonFiles() {
  const names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return names
    .split('\0')
    .filter((name) => name !== '' && (name.endsWith('.py') || (!/\.\w+$/.test(name) && isProgram(name))));
}

function isProgram(name) {
  try {
    return /^#!.*\bpython3/.test(readFileSync(join(ROOT, name), 'latin1').slice(0, 64));
  } catch {
    return false;
  }
}
