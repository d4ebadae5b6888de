/**
 * A bare `python3` or `node` is whatever PATH has: a version manager's script, another version, or nothing. Everything that we
 * start uses sim/python.ts and process.execPath instead.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = ['core', 'plugins', 'sim', 'testing', 'cli', 'bench', 'test', 'scripts', 'examples'];
/** The one place that may look for it, and this file, which contains examples. */
const EXCEPT = ['sim/python.ts', 'test/architecture/interpreters.test.ts'];
/** Calls in which the word means something else: a finding, an expectation, the `python3` of a template (testing/guest.ts). */
const NOT_A_START = ['fine', 'arrayContaining', 'program'];

const BARE = /^(?:python3?|node)$/;
/** In a shell command: the bare name in the place of a command, with an option after it. */
const IN_SHELL = /(?:^|[\s;&|({}])(?:python3?|node) -/;

interface Node {
  readonly type: string;
  readonly start: number;
  readonly [key: string]: unknown;
}

const isNode = (value: unknown): value is Node => typeof (value as Node | null)?.type === 'string';

/** The lines of a source that start an interpreter by its bare name. */
function bareStarts(path: string, source: string): string[] {
  const { program, errors } = parseSync(path, source);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`);
  const found = new Set<number>();
  const isBare = (node: unknown) => isNode(node) && node.type === 'Literal' && BARE.test(String(node.value));
  const visit = (node: Node) => {
    if (node.type === 'CallExpression' || node.type === 'NewExpression') {
      const callee = node.callee as Node;
      const name = String((callee.name ?? (callee.property as Node | undefined)?.name) as string | undefined);
      const words = (node.arguments as Node[]).map((word, at) => {
        if (word.type === 'ArrayExpression') return (word.elements as Node[])[0];
        return at === 0 ? word : undefined;
      });
      if (!NOT_A_START.includes(name) && words.some(isBare)) found.add(node.start);
    }
    if (node.type === 'Property' && (node.key as Node).name === 'command' && isBare(node.value))
      found.add(node.start);
    if (node.type === 'VariableDeclarator' && isBare(node.init)) found.add(node.start);
    const text = node.type === 'TemplateElement' ? (node.value as { raw: string }).raw : node.value;
    if ((node.type === 'TemplateElement' || node.type === 'Literal') && IN_SHELL.test(String(text)))
      found.add(node.start);
    for (const value of Object.values(node))
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child);
  };
  visit(program as unknown as Node);
  const lines = [...found].map((start) => source.slice(0, start).split('\n').length);
  return [...new Set(lines)].map((line) => `${path}:${line}`);
}

const sources = [
  'vitest.config.ts',
  ...FOLDERS.flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.(ts|mjs|js)$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
].filter((path) => !path.includes('node_modules') && !EXCEPT.includes(path));

test('no test and no script starts a bare python3 or node', () => {
  expect(sources.length).toBeGreaterThan(300);
  const found = sources.flatMap((path) => bareStarts(path, readFileSync(join(ROOT, path), 'utf8')));
  expect(found).toEqual([]);
});

test.each([
  "spawn('python3', ['-B', script])",
  "spawnSync('node', [script])",
  "await run('python3', words)",
  "promisify(execFile)('node', [script])",
  "new StdioClientTransport({ command: 'node', args })",
  "const interpreter = 'python3';",
  "spawn('sh', ['-c', 'cd dom0 && python3 -B -m qmcpd'])",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a source
  "spawn('sh', ['-c', `exec python3 -m ${module}`])",
])('the check of interpreters finds %s', (source) => {
  expect(bareStarts('any.ts', source)).toEqual(['any.ts:1']);
});
