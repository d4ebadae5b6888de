/**
 * Runs the tests whose file name or title contains the given text, in TypeScript and in Python:
 *
 *     npm run test:one -- network
 *     npm run test:one -- a clone carries the restrictions
 *
 * A part of a file name runs the whole file; a part of a title runs the tests with that title. If nothing matches, the output
 * names the nearest files, and the exit code is 1.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = ['core', 'plugins', 'model', 'sim', 'cli', 'test', 'examples'];
const PYTHON = 'dom0/tests';
/** How many suggestions are shown. */
const SUGGESTIONS = 5;
const CALLS = ['it', 'test', 'describe'];

const filesBelow = (folder, name) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .filter((path) => name.test(path) && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .sort();

/**
 * The tests that match: whole files, single titles (TypeScript) and dotted names (Python) with their files. Titles of a table's
 * cases are strings elsewhere in the file; they count if no other title matches.
 */
export async function findTests(text) {
  const contains = (words) => words.toLowerCase().includes(text.toLowerCase());
  const scripts = FOLDERS.flatMap((folder) => filesBelow(folder, /\.test\.ts$/))
    // A package of its own, whose tests run where the packed qmcp is installed.
    .filter((path) => !path.startsWith('examples/vault'));
  const modules = filesBelow(PYTHON, /(^|\/)test_\w+\.py$/);
  const files = scripts.filter(contains);
  const pythonFiles = modules.filter(contains);
  const pythonTests = modules
    .filter((path) => !pythonFiles.includes(path))
    .flatMap((file) => pythonNamesOf(file).filter(({ words }) => contains(words)));
  const found = [];
  for (const file of scripts.filter((path) => !files.includes(path)))
    for (const string of await stringsOf(file)) if (contains(string.text)) found.push({ file, ...string });
  const titles = found.filter(({ isTitle }) => isTitle);
  const isFound = files.length + pythonFiles.length + pythonTests.length + titles.length > 0;
  return { files, titles: isFound ? titles : found, pythonFiles, pythonTests, all: [...scripts, ...modules] };
}

/** Every string of a test file, and whether it is the title of a test. */
async function stringsOf(file) {
  const { parseSync } = await import('oxc-parser');
  const strings = [];
  const titles = new Set();
  visit(parseSync(file, readFileSync(join(ROOT, file), 'utf8')).program, (node) => {
    if (node.type === 'CallExpression' && CALLS.includes(nameOf(node.callee))) titles.add(node.arguments[0]);
    const text =
      node.type === 'Literal'
        ? node.value
        : node.type === 'TemplateLiteral' && node.quasis.map(({ value }) => value.cooked).join('%s');
    if (typeof text === 'string') strings.push({ text, isTitle: titles.has(node) });
  });
  return strings;
}

function visit(node, act) {
  if (typeof node !== 'object' || node === null) return;
  if (typeof node.type === 'string') act(node);
  for (const [key, child] of Object.entries(node)) if (key !== 'parent') visit(child, act);
}

/** The first name of a callee: `it` of `it.skipIf(x).each(y)`. */
function nameOf(node) {
  if (node.type === 'Identifier') return node.name;
  const inner = node.object ?? node.callee ?? node.tag;
  return inner === undefined ? undefined : nameOf(inner);
}

/** Methods of a Python test file by dotted name; `words` also has the name with spaces, and the docstring. */
function pythonNamesOf(file) {
  const names = [];
  let className = '';
  const source = readFileSync(join(ROOT, file), 'utf8');
  for (const [, group, method, docstring] of source.matchAll(
    /^class (\w+)|^ {4}(?:async )?def (test_\w+)\([^)]*\)[^\n]*:\n(?: {8}"""([^"]*))?/gm,
  )) {
    if (group !== undefined) className = group;
    else
      names.push({
        file,
        name: `${moduleOf(file)}.${className}.${method}`,
        words: `${className}.${method} ${method.replaceAll('_', ' ')} ${docstring ?? ''}`,
      });
  }
  return names;
}

const moduleOf = (file) =>
  file
    .replace(/^dom0\//, '')
    .replace(/\.py$/, '')
    .replaceAll('/', '.');

/** The files whose names are nearest to the text, by the pairs of letters that they share. */
export function suggestions(text, files) {
  const pairs = (word) =>
    new Set([...word.toLowerCase()].slice(1).map((letter, at) => word[at].toLowerCase() + letter));
  const wanted = pairs(text);
  const score = (file) => {
    const own = pairs(basename(file).replace(/\.test\.ts$|\.py$|^test_/g, ''));
    const shared = [...own].filter((pair) => wanted.has(pair)).length;
    return (2 * shared) / (own.size + wanted.size || 1);
  };
  return files
    .map((file) => ({ file, score: score(file) }))
    .filter((one) => one.score > 0.2)
    .sort((one, other) => other.score - one.score || one.file.localeCompare(other.file))
    .slice(0, SUGGESTIONS)
    .map(({ file }) => file);
}

/** A pattern for vitest's `-t` that matches these titles, whatever their placeholders stand for. */
export const patternOf = (titles) =>
  titles
    .map((title) =>
      title
        .split(/%[sijd#]/)
        .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('.*'),
    )
    .join('|');

async function main(words) {
  const text = words.join(' ').trim();
  if (text === '') throw new Error('name a part of a file name or of a title: npm run test:one -- NAME');
  await ready();
  const { files, titles, pythonFiles, pythonTests, all } = await findTests(text);
  const statuses = [];
  const run = (command, args, cwd = ROOT) => {
    const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit' });
    if (error) throw error;
    statuses.push(status);
  };
  const vitest = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run'];
  if (files.length > 0) run(process.execPath, [...vitest, ...files]);
  if (titles.length > 0) {
    const owners = [...new Set(titles.map(({ file }) => file))];
    const pattern = patternOf(titles.map((title) => title.text));
    run(process.execPath, [...vitest, ...owners, '-t', pattern]);
  }
  const names = [...pythonFiles.map(moduleOf), ...pythonTests.map(({ name }) => name)];
  if (names.length > 0) {
    const { python } = await import('../dist/sim/python.js');
    run(python(), ['-B', '-m', 'unittest', ...names], join(ROOT, 'dom0'));
  }
  if (statuses.length === 0) {
    const near = suggestions(text, all);
    const lines = near.length > 0 ? ['; the nearest files are:', ...near.map((file) => `\n  ${file}`)] : [''];
    throw new Error(`no test has "${text}" in its file name or its title${lines.join('')}`);
  }
  if (statuses.some((status) => status !== 0)) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exitCode = 1;
  });
}
