/** One edit in dom0/spec and one `npm run generate` change every file that depends on it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';

const ROOT = packageFile('.');
const copy = mkdtempSync(join(tmpdir(), 'qmcp-'));

/** The one edit of each kind: a file of dom0/spec, and a text that stands in it once. */
const EDITS = {
  statement: {
    file: 'invariants.toml',
    from: 'A principal is never the object of its own call, nor is any other principal, gateway or dom0.',
    to: 'No call ever has a principal, a gateway or dom0 as its object, and its own least of all.',
  },
  'tier name': { file: 'names.toml', from: 'name = "exec"', to: 'name = "command"' },
  'boot service': { file: 'names.toml', from: '"qubes.NotifyUpdates"', to: '"qubes.NotifyOfUpdates"' },
  limit: { file: 'limits.toml', from: 'request_bytes = { is = 65_536', to: 'request_bytes = { is = 54_321' },
} as const;

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((path) =>
    /^(core|plugins|model|sim|testing|cli|bench|scripts|dom0|guest|config|docs|test\/)/.test(path),
  )
  .concat(
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'biome.json',
    '.gitignore',
  )
  .filter((path) => !/^dom0\/tests\//.test(path));
const read = (path: string) => readFileSync(join(copy, path), 'utf8');
const run = (command: string, words: readonly string[], cwd = copy) => {
  const { status, stdout, stderr } = spawnSync(command, words, { cwd, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
};
const inPython = (code: string) => run(python(), ['-B', '-c', code], join(copy, 'dom0')).trim();
/** The product files that contain the text; tests, examples in prose and the changelog may keep the old one. */
const filesWith = (text: string) =>
  files.filter(
    (path) =>
      !/^test\/|\.test\.ts$|^docs\/(?!reference\/|invariants\.md)/.test(path) && read(path).includes(text),
  );

beforeAll(() => {
  for (const path of files) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    cpSync(join(ROOT, path), join(copy, path));
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  for (const { file, from, to } of Object.values(EDITS)) {
    const path = `dom0/spec/${file}`;
    expect(read(path).split(from), from).toHaveLength(2);
    writeFileSync(join(copy, path), read(path).replace(from, to));
  }
  run(process.execPath, ['scripts/generate.mjs']);
});
afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe('one edit in dom0/spec', () => {
  test('after one edit of each kind and one generate, every generated file is up to date', () => {
    run(process.execPath, ['dist/cli/generate/main.js', '--check']);
  });

  test('a changed statement is in dom0, in TypeScript, in the reference and in qmcp explain, and the old one nowhere', () => {
    const { from, to } = EDITS.statement;
    expect(filesWith(from)).toEqual([]);
    expect(filesWith(to)).toEqual([
      'core/api/generated/invariants.ts',
      'docs/invariants.md',
      'docs/reference/invariants.md',
      'dom0/spec/invariants.toml',
    ]);
    expect(inPython('import spec; print(spec.INVARIANTS["scope.self-excluded"]["statement"])')).toBe(to);
    const explained = run(process.execPath, ['dist/cli/main.js', 'explain', 'scope.self-excluded']);
    expect(explained.replace(/\s+/g, ' ')).toContain(to);
  });

  test('a changed name of a tier is in the contracts, the policy, dom0, TypeScript and the reference', () => {
    expect(filesWith('@tag:ai-exec')).toEqual([]);
    expect(read('dom0/policy/30-qmcp.policy')).toContain('@tag:ai-command');
    const contract = JSON.parse(read('dom0/contracts/qmcp.exec.Run.json')) as {
      target: { capability: string };
    };
    expect(contract.target.capability).toBe('command');
    expect(read('core/api/generated/names.ts')).toContain("exec: 'command'");
    expect(read('docs/reference/names.md')).toContain('`command`');
    expect(inPython('import spec; print(*spec.TIERS)').split(' ')).toContain('command');
    expect(inPython('import spec; print(*spec.TIERS)').split(' ')).not.toContain('exec');
  });

  test('a changed boot service is in the policy, dom0, TypeScript and the reference, and the old one nowhere', () => {
    expect(
      filesWith('qubes.NotifyUpdates').filter((path) => path !== 'sim/policy/90-default.policy'),
    ).toEqual([]);
    expect(filesWith('qubes.NotifyOfUpdates')).toEqual([
      'core/api/generated/names.ts',
      'docs/reference/names.md',
      'dom0/policy/30-qmcp.policy',
      'dom0/spec/names.toml',
    ]);
    expect(inPython('import spec; print("qubes.NotifyOfUpdates" in spec.NAMES.boot_services)')).toBe('True');
  });

  test('a changed limit is in dom0, TypeScript, the guest services and the reference', () => {
    expect(inPython('import spec; print(spec.LIMITS.request_bytes)')).toBe('54321');
    expect(read('core/api/generated/limits.ts')).toMatch(/request_bytes: 54321\b/);
    expect(read('guest/qmcp_guest/generated/limits.py')).toContain('REQUEST_BYTES = 54321\n');
    expect(read('docs/reference/limits.md')).toMatch(/54,?321/);
  });
});
