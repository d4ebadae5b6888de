import { describe, expect, test } from 'vitest';
import { FakeQrexec, ok } from '../../test/support/fake-host.js';
import { gate as door, turn } from '../../test/support/waiting.js';
import type { Refused } from '../api/index.js';
import { Gate } from './gate.js';
import type { QrexecRequest } from './qrexec.js';
import { inScope } from './scope.js';

/** A gate before calls that end when they are let go, by their names. */
function gated(limit: number) {
  const doors = new Map<string, ReturnType<typeof door>>();
  let inProgress = 0;
  let most = 0;
  let clock = 0;
  const started: string[] = [];
  const qrexec = new FakeQrexec(async ({ service }) => {
    started.push(service);
    inProgress += 1;
    most = Math.max(most, inProgress);
    const mine = door();
    doors.set(service, mine);
    await mine.opened;
    inProgress -= 1;
    return ok({});
  });
  const gate = new Gate(qrexec, limit, () => clock);
  const request = (service: string, signal?: AbortSignal): QrexecRequest => ({
    target: '@adminvm',
    service,
    stdin: new Uint8Array(),
    timeout: 1,
    maxBytes: 1,
    signal,
  });
  return {
    started,
    most: () => most,
    call: (service: string, { session = {}, signal }: { session?: object; signal?: AbortSignal } = {}) =>
      inScope(session, () => gate.short.call(request(service, signal))),
    listen: (service: string) => inScope({}, () => gate.long.call(request(service))),
    passTime: (milliseconds: number) => {
      clock += milliseconds;
    },
    async letGo(service: string) {
      doors.get(service)!.open();
      await turn();
    },
  };
}

const codeOf = (calling: Promise<unknown>) =>
  calling.then(
    () => 'ok',
    (error: Refused) => [error.code, error.data],
  );

describe('the gate to dom0', () => {
  test('eighty calls at once are all made, never more than the limit at a time', async () => {
    const { call, letGo, started, most } = gated(4);
    const session = {};
    const calls = Array.from({ length: 80 }, (_, n) => codeOf(call(`s${n}`, { session })));
    await turn();
    expect(started).toHaveLength(4);
    for (let n = 0; n < 80; n += 1) await letGo(started[n]!);
    expect(await Promise.all(calls)).toEqual(Array(80).fill('ok'));
    expect(most()).toBe(4);
  });

  test('each session has its turn, whatever another asks for', async () => {
    const { call, letGo, started } = gated(1);
    const [greedy, modest] = [{}, {}];
    const calls = ['g0', 'g1', 'g2', 'g3'].map((name) => call(name, { session: greedy }));
    calls.push(...['m0', 'm1'].map((name) => call(name, { session: modest })));
    await turn();
    for (let n = 0; n < 6; n += 1) await letGo(started[n]!);
    await Promise.all(calls);
    expect(started).toEqual(['g0', 'g1', 'm0', 'g2', 'm1', 'g3']);
  });

  test('a call is busy only if too many of its session wait, and is told how long to wait', async () => {
    const { call, letGo, passTime, started } = gated(4);
    const session = {};
    const calls = Array.from({ length: 132 }, (_, n) => call(`s${n}`, { session }));
    await turn();
    expect(await codeOf(call('late', { session }))).toEqual(['busy', { retry_after_seconds: 32 }]);
    // Another session is not full.
    const other = call('other');
    passTime(100);
    await letGo('s0');
    expect(started).not.toContain('late');
    // Calls are faster than was thought.
    const again = call('s132', { session });
    expect(await codeOf(call('late', { session }))).toEqual(['busy', { retry_after_seconds: 27 }]);
    for (let n = 0; n < started.length; n += 1) await letGo(started[n]!);
    await Promise.all([...calls, other, again]);
  });

  test('a call whose client goes away while it waits is not made', async () => {
    const { call, letGo, started } = gated(1);
    const leave = new AbortController();
    const first = call('first');
    const second = call('second', { signal: leave.signal });
    const third = call('third');
    await turn();
    leave.abort();
    expect(await second).toMatchObject({ ended: 'aborted' });
    await letGo('first');
    await letGo('third');
    await Promise.all([first, third]);
    expect(started).toEqual(['first', 'third']);
  });

  test('calls that listen for long leave a place for those that do not', async () => {
    const { call, listen, letGo, started } = gated(2);
    const listening = [listen('l0'), listen('l1')];
    await turn();
    const short = call('short');
    await turn();
    expect(started).toEqual(['l0', 'short']);
    await letGo('short');
    expect(started).toEqual(['l0', 'short']);
    await letGo('l0');
    await letGo('l1');
    await Promise.all([...listening, short]);
    expect(started).toEqual(['l0', 'short', 'l1']);
  });

  test('a world with one call at a time can still listen', async () => {
    const { listen, letGo, started } = gated(1);
    const listening = listen('l0');
    await turn();
    expect(started).toEqual(['l0']);
    await letGo('l0');
    await listening;
  });
});
