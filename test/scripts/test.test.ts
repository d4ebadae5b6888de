import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

// The program behind `npm test`. It is not compiled, because it runs before anything is.
const { closing, pythonOutcome, runAll, unitFiles, unitPython, vitestOutcome } = await import(
  packageFile('scripts/test.mjs')
);

const good = { passed: 3, failed: 0, skipped: 1, failures: [] };
const bad = { passed: 1, failed: 1, skipped: 0, failures: ['a.test.ts: holds'] };

describe('npm test', () => {
  test('npm test runs every part, also after one that failed or did not start', async () => {
    const ran: string[] = [];
    const part = (name: string, outcome: object) => [
      name,
      async () => {
        ran.push(name);
        if (outcome instanceof Error) throw outcome;
        return outcome;
      },
    ];
    const parts = [part('one', bad), part('two', new Error('no interpreter')), part('three', good)];
    const outcomes = await runAll(parts);
    expect(ran).toEqual(['one', 'two', 'three']);
    expect(outcomes.map(({ failed }: { failed: number }) => failed)).toEqual([1, 1, 0]);
    const said = closing(outcomes);
    expect(said).toContain('  one  a.test.ts: holds\n');
    expect(said).toContain('  two  it ended with no interpreter\n');
    expect(said.trimEnd().split('\n').at(-1)).toBe('4 passed, 2 failed');
  });

  test('the last line of npm test says how many tests passed and failed', () => {
    const said = closing([
      { name: 'vitest', ...good, seconds: 61.2 },
      { name: 'Python', ...good, seconds: 4 },
    ]);
    expect(said).toBe(
      '\nvitest  passed  3 passed, 0 failed, 1 skipped  1 min 1 s\n' +
        'Python  passed  3 passed, 0 failed, 1 skipped  4 s\n6 passed, 0 failed\n',
    );
  });
});

test('npm run test:unit leaves out the tests that start guests and servers, and every file that it names exists', () => {
  const files = unitFiles() as string[];
  expect(files).toEqual(
    expect.arrayContaining(['core/api/untrusted.test.ts', 'cli/arguments/input.test.ts']),
  );
  expect(files.filter((file) => /^test\/(?!architecture\/)|behaviour|bwrap|^cli\/cli/.test(file))).toEqual(
    [],
  );
  expect(files.filter((file) => !existsSync(packageFile(file)))).toEqual([]);
});

test('npm run test:unit runs the tests of dom0 except those that try every call, order or step', () => {
  const modules = unitPython() as string[];
  expect(modules).toEqual(expect.arrayContaining(['tests.test_messages', 'tests.test_config']));
  expect(modules).not.toContain('tests.test_operator_crash');
  for (const module of modules)
    expect(existsSync(packageFile(`dom0/${module.replace('.', '/')}.py`)), module).toBe(true);
});

describe('the outcome of vitest', () => {
  const report = (testResults: object[]) => JSON.stringify({ testResults });
  const one = (status: string, fullName = 'a test') => ({ status, fullName });

  test('vitest’s results are counted by tests', () => {
    const files = [
      {
        name: packageFile('a.test.ts'),
        status: 'failed',
        assertionResults: [one('passed'), one('failed', ' b')],
      },
      { name: packageFile('c.test.ts'), status: 'passed', assertionResults: [one('passed'), one('pending')] },
    ];
    expect(vitestOutcome(1, report(files))).toEqual({
      passed: 2,
      failed: 1,
      skipped: 1,
      failures: ['a.test.ts: b'],
    });
  });

  test('vitest has failed when a file does not run, an error belongs to no test, or there is no report', () => {
    const broken = { name: packageFile('a.test.ts'), status: 'failed', assertionResults: [] };
    expect(vitestOutcome(1, report([broken]))).toMatchObject({
      failed: 1,
      failures: ['a.test.ts: does not run'],
    });
    const fine = { name: packageFile('a.test.ts'), status: 'passed', assertionResults: [one('passed')] };
    expect(vitestOutcome(1, report([fine]))).toMatchObject({ passed: 1, failed: 1 });
    expect(vitestOutcome('SIGKILL', undefined)).toMatchObject({
      failed: 1,
      failures: ['it ended with SIGKILL'],
    });
    expect(vitestOutcome(0, report([fine]))).toMatchObject({ passed: 1, failed: 0 });
  });
});

describe('the outcome of the Python tests', () => {
  test.each([
    ['OK', 0, { passed: 12, failed: 0, skipped: 0 }],
    ['OK (skipped=2)', 0, { passed: 10, failed: 0, skipped: 2 }],
  ])('%s', (last, status, expected) => {
    expect(pythonOutcome(status, `....\nRan 12 tests in 1.0s\n\n${last}\n`)).toMatchObject(expected);
  });

  test('the failed Python tests are named', () => {
    const said =
      'FAIL: test_a (tests.A)\n\nERROR: test_b (tests.B)\n\nRan 12 tests in 1.0s\n\nFAILED (failures=1, errors=1)\n';
    expect(pythonOutcome(1, said)).toEqual({
      passed: 10,
      failed: 2,
      skipped: 0,
      failures: ['dom0/tests: test_a (tests.A)', 'dom0/tests: test_b (tests.B)'],
    });
  });

  test('the Python tests have failed when they do not run', () => {
    expect(pythonOutcome(1, 'No module named tests\n')).toMatchObject({ passed: 0, failed: 1 });
  });
});
