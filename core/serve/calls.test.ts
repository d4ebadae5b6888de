import { describe, expect, test } from 'vitest';
import { gate, turn } from '../../test/support/waiting.js';
import { Refused } from '../api/index.js';
import { waitFor } from '../ports/scope.js';
import { BackgroundCalls, KEPT_MILLISECONDS } from './calls.js';

const done = async () => ({ word: 'done' });
const forever = ({ signal }: { signal: AbortSignal }) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Refused('failed')));
  });

describe('calls in the background', () => {
  test('a call belongs to the session that began it, and to no other', async () => {
    const calls = new BackgroundCalls();
    const [one, other] = [{}, {}];
    const call = calls.begin('say', one, done);
    expect(calls.find(call.handle, one)).toBe(call);
    expect(calls.find(call.handle, other)).toBeUndefined();
    expect(calls.find(call.handle)).toBeUndefined();
    expect(calls.of(other)).toEqual([]);
    expect(await call.ended).toEqual({ kind: 'result', result: { word: 'done' } });
  });

  test('a handle cannot be guessed from another one', () => {
    const calls = new BackgroundCalls();
    const handles = [1, 2, 3].map(() => calls.begin('say', {}, done).handle);
    for (const handle of handles) expect(handle).toMatch(/^call-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(new Set(handles).size).toBe(3);
  });

  test('a call that is stopped tells its work, and is stopped whatever the work makes of it', async () => {
    const calls = new BackgroundCalls();
    const call = calls.begin('say', {}, forever);
    call.stop();
    expect(await call.ended).toEqual({ kind: 'stopped' });
  });

  test('every error of the work is a refusal', async () => {
    const calls = new BackgroundCalls();
    const fails = (error: unknown) => calls.begin('say', {}, () => Promise.reject(error)).ended;
    expect(await fails(new Refused('conflict'))).toMatchObject({ refusal: { code: 'conflict' } });
    expect(await fails(new Error('secret'))).toMatchObject({ refusal: { code: 'failed' } });
  });

  test('the status of a call is its latest message, or what it waits for', async () => {
    const calls = new BackgroundCalls();
    const [begun, answered, end] = [gate(), gate(), gate()];
    const call = calls.begin('say', {}, async ({ progress }) => {
      begun.open();
      await waitFor('the operator', () => answered.opened);
      progress('half');
      await end.opened;
      return { word: 'done' };
    });
    await begun.opened;
    expect(call.status).toBe('waiting for the operator');
    answered.open();
    await turn();
    expect(call.status).toBe('half');
    end.open();
    await call.ended;
  });

  test('the oldest call that has ended makes room, and one in progress never does', async () => {
    const calls = new BackgroundCalls();
    const session = {};
    const running = calls.begin('say', session, forever);
    const first = calls.begin('say', session, done);
    await first.ended;
    for (let n = 0; n < 63; n += 1) calls.begin('say', session, forever);
    expect(calls.find(first.handle, session)).toBeUndefined();
    expect(calls.find(running.handle, session)).toBe(running);
    expect(() => calls.begin('say', session, done)).toThrow('busy');
    // Another session has its own share.
    expect(calls.begin('say', {}, done).tool).toBe('say');
    await calls.stop();
  });

  test('a call that has ended is kept for an hour', async () => {
    let now = 0;
    const calls = new BackgroundCalls(() => now);
    const session = {};
    const call = calls.begin('say', session, done);
    const running = calls.begin('say', session, forever);
    await call.ended;
    now = KEPT_MILLISECONDS - 1;
    calls.begin('say', session, done);
    expect(calls.find(call.handle, session)).toBe(call);
    now = KEPT_MILLISECONDS;
    calls.begin('say', session, done);
    expect(calls.find(call.handle, session)).toBeUndefined();
    expect(calls.find(running.handle, session)).toBe(running);
    await calls.stop();
  });

  test('the end of a session stops its calls, and waits until they have ended', async () => {
    const calls = new BackgroundCalls();
    const [one, other] = [{}, {}];
    const [mine, foreign] = [calls.begin('say', one, forever), calls.begin('say', other, forever)];
    await calls.stop(one);
    expect(mine.outcome).toEqual({ kind: 'stopped' });
    expect(calls.of(one)).toEqual([]);
    expect(foreign.outcome).toBeUndefined();
    await calls.stop();
    expect(foreign.outcome).toEqual({ kind: 'stopped' });
  });
});
