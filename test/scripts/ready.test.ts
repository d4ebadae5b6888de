import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

const { isInstalled, isOlder } = await import(packageFile('scripts/ready.mjs'));

test.each([
  ['18.20.8', true],
  ['20.18.0', true],
  ['20.9.9', true],
  ['20.18.1', false],
  ['20.19.0', false],
  ['24.0.0', false],
])('Node %s is older than 20.18.1: %s', (version, expected) => {
  expect(isOlder(version, '20.18.1')).toBe(expected);
});

describe('node_modules', () => {
  const lock = (changes: object = {}) => ({
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/b-linux': { version: '1.0.0', integrity: 'sha512-b', optional: true },
    ...changes,
  });
  const { 'node_modules/b-linux': _, ...elsewhere } = lock();

  test.each([
    ['all of it', lock()],
    ['all but the packages of other platforms', elsewhere],
  ])('node_modules is up to date with %s', (_case, present) => {
    expect(isInstalled(present, { '': { name: 'qmcp' }, ...lock() })).toBe(true);
  });

  test.each([
    ['another version', lock({ 'node_modules/a': { version: '1.0.1', integrity: 'sha512-a' } })],
    ['other bytes', lock({ 'node_modules/a': { version: '1.0.0', integrity: 'sha512-c' } })],
    ['something more', lock({ 'node_modules/c': { version: '1.0.0' } })],
    ['nothing', {}],
  ])('node_modules is out of date with %s', (_case, present) => {
    expect(isInstalled(present, { '': { name: 'qmcp' }, ...lock() })).toBe(false);
  });

  test('node_modules is up to date in this checkout', () => {
    const packages = (name: string) => JSON.parse(readFileSync(packageFile(name), 'utf8')).packages;
    expect(isInstalled(packages('node_modules/.package-lock.json'), packages('package-lock.json'))).toBe(
      true,
    );
  });
});
