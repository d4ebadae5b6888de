import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

const FILES = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', 'core', 'plugins', 'cli', 'test'],
  {
    cwd: packageFile('.'),
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((path) => path.endsWith('.ts') && path !== 'test/architecture/harness.test.ts');

const filesWith = (pattern: RegExp): string[] =>
  FILES.filter((path) => pattern.test(readFileSync(packageFile(path), 'utf8')));

test('every test that needs a complete host starts it with the one harness', () => {
  expect(filesWith(/\bstartHost\b/)).toEqual(['test/support/harness.ts']);
});

test('every test outside core that needs a fake qrexec transport uses the one of test/support', () => {
  expect(filesWith(/\bimplements Qrexec\b/).filter((path) => !path.startsWith('core/'))).toEqual([
    'test/support/fake-host.ts',
  ]);
});
