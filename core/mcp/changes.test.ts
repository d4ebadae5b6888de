import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { gate, turn } from '../../test/support/waiting.js';
import type { ReadContext } from '../serve/served.js';
import { ChangeWatcher } from './changes.js';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A source whose call is refused when it is told to end, as a call of dom0 is. */
function endlessSource() {
  const started = gate();
  async function* source({ signal }: ReadContext): AsyncGenerator<string> {
    started.open();
    yield 'word://one';
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('refused'))));
  }
  return { source, started };
}

/** A source whose calls are refused. */
function refusedSource() {
  const calls: AbortSignal[] = [];
  async function* source({ signal }: ReadContext): AsyncGenerator<string> {
    calls.push(signal);
    await Promise.reject(new Error('frozen'));
    yield 'word://one';
  }
  return { source, calls };
}

describe('following changes', () => {
  test('a watcher that stops during a call leaves no timer, so that the process can exit at once', async () => {
    const { source, started } = endlessSource();
    const heard: string[] = [];
    const watcher = new ChangeWatcher([source], (uri) => heard.push(uri));
    watcher.setActive(true);
    await started.opened;
    await turn();
    watcher.setActive(false);
    await turn();
    expect(heard).toEqual(['word://one']);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a watcher that stops while it waits to try again leaves no timer', async () => {
    const { source } = refusedSource();
    const watcher = new ChangeWatcher([source], () => {});
    watcher.setActive(true);
    await turn();
    expect(vi.getTimerCount()).toBe(1);
    watcher.setActive(false);
    await turn();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a source that fails is called again later, and only while somebody listens', async () => {
    const { source, calls } = refusedSource();
    const watcher = new ChangeWatcher([source], () => {});
    watcher.setActive(true);
    await turn();
    await vi.runOnlyPendingTimersAsync();
    expect(calls).toHaveLength(2);
    watcher.setActive(false);
    await vi.runAllTimersAsync();
    expect(calls).toHaveLength(2);
  });
});
