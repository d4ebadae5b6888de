import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { gate } from '../../test/support/waiting.js';
import { inScope, waitFor } from '../ports/scope.js';
import { withProgress } from './progress.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const messages: string[] = [];
const notify = ({ message }: { message: string }) => messages.push(message);
beforeEach(() => {
  messages.length = 0;
});

test('a client is told every ten seconds what a silent call waits for', async () => {
  const person = gate();
  const working = inScope({}, (scope) =>
    withProgress(
      notify,
      () => scope.waitingFor,
      async () => {
        await waitFor('the operator', () => person.opened);
        return 'done';
      },
    ),
  );
  await vi.advanceTimersByTimeAsync(9_999);
  expect(messages).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_001);
  expect(messages).toEqual(Array(7).fill('waiting for the operator'));
  person.open();
  expect(await working).toBe('done');
  expect(vi.getTimerCount()).toBe(0);
});

test('a call that says how it goes on is not spoken for, and numbers of progress only rise', async () => {
  const numbers: number[] = [];
  const end = gate();
  let say = (_message: string) => {};
  const working = withProgress(
    (update) => {
      numbers.push(update.progress);
      notify(update);
    },
    () => undefined,
    async (progress) => {
      say = progress;
      await end.opened;
    },
  );
  for (let n = 0; n < 3; n += 1) {
    await vi.advanceTimersByTimeAsync(9_000);
    say('half');
  }
  await vi.advanceTimersByTimeAsync(10_000);
  expect(messages).toEqual(['half', 'half', 'half', 'waiting for the tool']);
  expect(numbers).toEqual([1, 2, 3, 4]);
  end.open();
  await working;
  say('late');
  expect(messages).toHaveLength(4);
});

test('a client that did not ask for progress costs no timer', async () => {
  await withProgress(
    undefined,
    () => undefined,
    async (progress) => {
      progress('half');
      expect(vi.getTimerCount()).toBe(0);
    },
  );
});

test('a call that fails leaves no timer', async () => {
  const failing = withProgress(
    notify,
    () => undefined,
    () => Promise.reject(new Error('x')),
  );
  await expect(failing).rejects.toThrow('x');
  expect(vi.getTimerCount()).toBe(0);
});
