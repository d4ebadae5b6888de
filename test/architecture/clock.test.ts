import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import config from '../../vitest.config.js';
import { HANGS } from '../support/waiting.js';
import { LIMIT, wallClock } from './clock.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The only file that may wait. */
const WAITING = 'test/support/waiting.ts';
/** The cases below are source code in strings. */
const HERE = 'test/architecture/clock.test.ts';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((path) =>
    /^(core|plugins|sim|cli|testing|examples)\/.*\.test\.ts(\.tmpl)?$|^(test|examples)\/.*\.m?[jt]s$/.test(
      path,
    ),
  );

const ADVICE =
  'Wait for events with test/support/waiting.ts, count work with test/support/work.ts, leave durations to bench/.';

describe('the tests depend on no clock', () => {
  test('no test reads a clock, sets a timer, sleeps or has a short limit', () => {
    expect(files.length).toBeGreaterThan(100);
    const wrong = files
      .filter((path) => path !== WAITING && path !== HERE)
      .flatMap((path) =>
        wallClock(path.replace(/\.tmpl$/, ''), readFileSync(ROOT + path, 'utf8')).map(
          (problem) => `${path}:${problem}`,
        ),
      );
    expect(wrong, ADVICE).toEqual([]);
  });

  test('a wait that hangs ends before the limit of its test', () => {
    const { testTimeout, hookTimeout } = config.test!;
    expect([testTimeout, hookTimeout]).toEqual([LIMIT, LIMIT]);
    expect(HANGS).toBeGreaterThanOrEqual(60_000);
    expect(HANGS).toBeLessThan(LIMIT);
  });

  test.each([
    [
      'a measured duration',
      'const begun = performance.now(); act(); expect(performance.now() - begun).toBeLessThan(9);',
    ],
    [
      'a duration measured with Date',
      'const begun = Date.now(); act(); expect(Date.now() - begun < 9).toBe(true);',
    ],
    ['the current date', 'const begun = new Date(); act(); expect(+new Date - +begun).toBeLessThan(9);'],
    ['the current date as a string', "expect(Date()).toContain('2026');"],
    ['process.hrtime', 'const begun = process.hrtime.bigint();'],
    ['process.hrtime, destructured', 'const { hrtime } = process;'],
    ['process.uptime', 'expect(process.uptime() - begun).toBeLessThan(9);'],
    ['process.uptime, destructured', 'const { uptime: since } = process;'],
    ['another name for a clock', 'const clock = performance; expect(clock.now()).toBeLessThan(9);'],
    ['another name for Date', 'const Clock = Date; expect(Clock.now()).toBeLessThan(9);'],
    ['another name for process', 'const host = process; expect(host.uptime()).toBeLessThan(9);'],
    ['a destructured method', 'const { now } = performance;'],
    ['a destructured and renamed method', 'const { now: t } = Date;'],
    ['a method passed as an argument', 'measure(Date.now);'],
    ['a clock of the global object', 'expect(globalThis.performance.now()).toBeLessThan(9);'],
    ['a clock destructured from the global object', 'const { performance: p } = globalThis;'],
    ['a clock named by a string', "expect(globalThis['performance'].now()).toBeLessThan(9);"],
    ['an unknown member of the global object', 'expect(globalThis[name].now()).toBeLessThan(9);'],
    ['an imported clock', "import { performance as p } from 'node:perf_hooks';"],
    ['an imported namespace', "import * as hooks from 'perf_hooks';"],
    ['a dynamic import', "const hooks = await import('node:perf_hooks');"],
    ['a required module', "const hooks = require('perf_hooks');"],
    ['a clock in a helper function', 'const elapsed = (from: number) => Date.now() - from;'],
    ['a clock as a default parameter', 'function since(now = Date.now()) { return now - begun; }'],
    ['a fixed sleep', 'await new Promise((resolve) => setTimeout(resolve, 100));'],
    ['a renamed timer', 'const later = setTimeout; later(done, 100);'],
    ['a timer of the global object', 'globalThis.setTimeout(done, 100);'],
    ['an imported sleep', "import { setTimeout as sleep } from 'node:timers/promises'; await sleep(100);"],
    ['an imported scheduler', "import { scheduler } from 'timers/promises';"],
    [
      'a race with a timer',
      'await Promise.race([act(), new Promise((_, reject) => setTimeout(reject, 500))]);',
    ],
    ['a signal with a timeout', 'const signal = AbortSignal.timeout(20);'],
    ['a destructured signal timeout', 'const { timeout } = AbortSignal;'],
    ['a blocking wait', 'Atomics.wait(shared, 0, 0, 100);'],
    ['polling with its own limit', 'await expect.poll(read, { timeout: 500 }).toBe(1);'],
    ['a destructured poll', 'const { poll } = expect;'],
    ['waiting with its own limit', "import { vi as v } from 'vitest'; await v.waitFor(read);"],
    ['an immediate', 'await new Promise((resolve) => setImmediate(resolve));'],
    ['a shell command with a short sleep', "run('echo one; sleep 2; echo two');"],
    ['a shell command with a variable sleep', `run(\`sleep \${seconds}\`);`],
    ['a Python program with a short sleep', "python('import time; time.sleep(0.5)');"],
    ['a short limit after the function', "test('x', act, 5000);"],
    ['a short limit in the options', "it('x', { timeout: 20_000 }, act);"],
    ['a short limit of a group', "describe('x', { timeout: 60_000 }, () => {});"],
    ['a short limit of a table', "test.each(CASES)('%s', act, 10_000);"],
    ['a short limit of a hook', 'beforeAll(start, 10_000);'],
    [
      'a short limit of a renamed test function',
      "import { test as spec } from 'vitest'; spec('x', act, 5000);",
    ],
    [
      'a short limit of a function made from a test function',
      "const attack = it.skipIf(no).each(ALL); attack('x', act, 5000);",
    ],
    ['a short limit in a constant', "const SOON = 20 * 1000; it('x', act, SOON);"],
    ['short options in a constant', "const patient = { timeout: 9000 }; it('x', patient, act);"],
    ['a limit that the file does not tell', "it('x', act, Number(process.env.RUNS) * 2_000);"],
    ['a short limit for a whole file', 'vi.setConfig({ testTimeout: 5000 });'],
    ['a short limit of a child process', "spawnSync('node', [script], { timeout: 5000 });"],
    ['a short limit of an MCP call', 'await client.callTool(call, { timeout: 60_000 });'],
  ])('the check rejects %s', (_what, source) => {
    expect(wallClock('case.ts', source)).not.toEqual([]);
  });

  test.each([
    ['the shared wait', "await eventually(() => asked).toContain('Run');"],
    ['a time read from the host', "const past = Number(qube.features['qmcp-entombed']) - 31 * 86_400;"],
    [
      'a fixed date',
      "new Date(0); new Date('2026-01-01'); Date.parse(text); Date.UTC(2026, 1); made instanceof Date;",
    ],
    [
      'a property with the name of a clock',
      'const seen = { performance: 1, setTimeout: 2 }; expect(row.now).toBe(1);',
    ],
    ['a type', 'let timer: ReturnType<typeof setTimeout>; let when: Date; type Clock = typeof performance;'],
    ['fake timers', "vi.useFakeTimers({ toFake: ['setTimeout'] }); vi.advanceTimersByTime(30_000);"],
    ['seconds in a request', "call('qube_shutdown', { timeout: 5 }); request({ target: 'a', seconds: 1 });"],
    ['a shell command that waits for a file', "run('until [ -e go ]; do sleep 0.1; done; echo two');"],
    [
      'a shell command that never ends',
      `run('sleep 3600'); run(\`sleep 36000.\${process.pid}\`); run(FOREVER);`,
    ],
    ['a long limit', "it('x', act, 600_000); describe('y', { timeout: LONG + 300_000 }, () => {});"],
    ['a limit with a long minimum', "it('x', act, Math.max(runs * 2_000, 300_000));"],
    [
      'a number that is not a limit',
      "it('has 5', () => expect(list).toHaveLength(5)); expect(count, 'all').toBe(3);",
    ],
    ['other members of process', 'const { env, pid } = process; process.env.HOME; process.kill(pid, 0);'],
    [
      'a clock in a title or a comment',
      "it('sleeps until it is told', act); // performance.now() would not do",
    ],
  ])('the check accepts %s', (_what, source) => {
    expect(wallClock('case.ts', source)).toEqual([]);
  });
});
