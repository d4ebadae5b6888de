import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import config from '../../vitest.config.js';
import { HANGS } from '../support/waiting.js';
import { LIMIT, wallClock } from './clock.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Where tests wait. */
const WAITING = 'test/support/waiting.ts';
/** The cases below are text. */
const HERE = 'test/architecture/clock.test.ts';

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((path) =>
    /^(core|plugins|sim|cli|testing|examples)\/.*\.test\.ts(\.tmpl)?$|^(test|examples)\/.*\.m?[jt]s$/.test(
      path,
    ),
  );

describe('what a test shows depends on no clock', () => {
  test('in every test, and in everything that tests are made of', () => {
    expect(files.length).toBeGreaterThan(100);
    const wrong = files
      .filter((path) => path !== WAITING && path !== HERE)
      .flatMap((path) =>
        wallClock(path.replace(/\.tmpl$/, ''), readFileSync(ROOT + path, 'utf8')).map(
          (problem) => `${path}:${problem}`,
        ),
      );
    expect(wrong).toEqual([]);
  });

  test('and what is waited for may take longer than it ever does, before the test itself ends', () => {
    const { testTimeout, hookTimeout } = config.test!;
    expect([testTimeout, hookTimeout]).toEqual([LIMIT, LIMIT]);
    expect(HANGS).toBeGreaterThanOrEqual(60_000);
    expect(HANGS).toBeLessThan(LIMIT);
  });

  test.each([
    [
      'a time that is compared',
      'const begun = performance.now(); act(); expect(performance.now() - begun).toBeLessThan(9);',
    ],
    ['the same by Date', 'const begun = Date.now(); act(); expect(Date.now() - begun < 9).toBe(true);'],
    ['a date that is now', 'const begun = new Date(); act(); expect(+new Date - +begun).toBeLessThan(9);'],
    ['a date that is a call', "expect(Date()).toContain('2026');"],
    ['process.hrtime', 'const begun = process.hrtime.bigint();'],
    ['process.hrtime, taken out', 'const { hrtime } = process;'],
    ['process.uptime', 'expect(process.uptime() - begun).toBeLessThan(9);'],
    ['process.uptime, taken out', 'const { uptime: since } = process;'],
    ['another name for a clock', 'const clock = performance; expect(clock.now()).toBeLessThan(9);'],
    ['another name for Date', 'const Clock = Date; expect(Clock.now()).toBeLessThan(9);'],
    ['another name for process', 'const host = process; expect(host.uptime()).toBeLessThan(9);'],
    ['a method that was taken out', 'const { now } = performance;'],
    ['a method that was taken out under another name', 'const { now: t } = Date;'],
    ['a method that was passed on', 'measure(Date.now);'],
    ['a clock of the global object', 'expect(globalThis.performance.now()).toBeLessThan(9);'],
    ['a clock taken out of the global object', 'const { performance: p } = globalThis;'],
    ['a clock by its name as text', "expect(globalThis['performance'].now()).toBeLessThan(9);"],
    ['a clock by a name that nobody knows', 'expect(globalThis[name].now()).toBeLessThan(9);'],
    ['an import', "import { performance as p } from 'node:perf_hooks';"],
    ['an import of everything', "import * as hooks from 'perf_hooks';"],
    ['a later import', "const hooks = await import('node:perf_hooks');"],
    ['require', "const hooks = require('perf_hooks');"],
    ['a helper of the file', 'const elapsed = (from: number) => Date.now() - from;'],
    ['a default of a parameter', 'function since(now = Date.now()) { return now - begun; }'],
    ['a pause', 'await new Promise((resolve) => setTimeout(resolve, 100));'],
    ['a pause under another name', 'const later = setTimeout; later(done, 100);'],
    ['a pause of the global object', 'globalThis.setTimeout(done, 100);'],
    [
      'a pause that is imported',
      "import { setTimeout as sleep } from 'node:timers/promises'; await sleep(100);",
    ],
    ['a pause of the scheduler', "import { scheduler } from 'timers/promises';"],
    [
      'a race with a timer',
      'await Promise.race([act(), new Promise((_, reject) => setTimeout(reject, 500))]);',
    ],
    ['a signal that comes by itself', 'const signal = AbortSignal.timeout(20);'],
    ['a signal that comes by itself, taken out', 'const { timeout } = AbortSignal;'],
    ['a pause of the thread', 'Atomics.wait(shared, 0, 0, 100);'],
    ['asking again and again, by another limit', 'await expect.poll(read, { timeout: 500 }).toBe(1);'],
    ['the same under another name', 'const { poll } = expect;'],
    ['waiting, by another limit', "import { vi as v } from 'vitest'; await v.waitFor(read);"],
    ['a turn of its own', 'await new Promise((resolve) => setImmediate(resolve));'],
    ['a command that sleeps for a while', "run('echo one; sleep 2; echo two');"],
    ['a command that sleeps for as long as it is told', `run(\`sleep \${seconds}\`);`],
    ['a program that sleeps for a while', "python('import time; time.sleep(0.5)');"],
    ['a limit that is short', "test('x', act, 5000);"],
    ['a limit in front', "it('x', { timeout: 20_000 }, act);"],
    ['a limit of a whole description', "describe('x', { timeout: 60_000 }, () => {});"],
    ['a limit of many cases', "test.each(CASES)('%s', act, 10_000);"],
    ['a limit of a hook', 'beforeAll(start, 10_000);'],
    ['a limit of a test by another name', "import { test as spec } from 'vitest'; spec('x', act, 5000);"],
    ['a limit of what was made of a test', "const attack = it.skipIf(no).each(ALL); attack('x', act, 5000);"],
    ['a limit that has a name', "const SOON = 20 * 1000; it('x', act, SOON);"],
    ['a limit of options that have a name', "const patient = { timeout: 9000 }; it('x', patient, act);"],
    ['a limit that may be short', "it('x', act, Number(process.env.RUNS) * 2_000);"],
    ['a limit for all tests of a file', 'vi.setConfig({ testTimeout: 5000 });'],
    ['a limit of a child', "spawnSync('node', [script], { timeout: 5000 });"],
    ['a limit of a client', 'await client.callTool(call, { timeout: 60_000 });'],
  ])('%s is found', (_what, source) => {
    expect(wallClock('case.ts', source)).not.toEqual([]);
  });

  test.each([
    ['what is waited for by the helper', "await eventually(() => asked).toContain('Run');"],
    ['a time that the host tells', "const past = Number(qube.features['qmcp-entombed']) - 31 * 86_400;"],
    [
      'a date that is said',
      "new Date(0); new Date('2026-01-01'); Date.parse(text); Date.UTC(2026, 1); made instanceof Date;",
    ],
    [
      'a member that is called so',
      'const seen = { performance: 1, setTimeout: 2 }; expect(row.now).toBe(1);',
    ],
    ['a type', 'let timer: ReturnType<typeof setTimeout>; let when: Date; type Clock = typeof performance;'],
    [
      'timers that are not real',
      "vi.useFakeTimers({ toFake: ['setTimeout'] }); vi.advanceTimersByTime(30_000);",
    ],
    ['seconds of a service', "call('qube_shutdown', { timeout: 5 }); request({ target: 'a', seconds: 1 });"],
    ['a command that waits for a file', "run('until [ -e go ]; do sleep 0.1; done; echo two');"],
    ['a command that never ends', `run('sleep 3600'); run(\`sleep 36000.\${process.pid}\`); run(FOREVER);`],
    ['a long limit', "it('x', act, 600_000); describe('y', { timeout: LONG + 300_000 }, () => {});"],
    ['a limit that is never short', "it('x', act, Math.max(runs * 2_000, 300_000));"],
    [
      'a number that is no limit',
      "it('has 5', () => expect(list).toHaveLength(5)); expect(count, 'all').toBe(3);",
    ],
    ['members of process', 'const { env, pid } = process; process.env.HOME; process.kill(pid, 0);'],
    ['words about it', "it('sleeps until it is told', act); // performance.now() would not do"],
  ])('%s passes', (_what, source) => {
    expect(wallClock('case.ts', source)).toEqual([]);
  });
});
