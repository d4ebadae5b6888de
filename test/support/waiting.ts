/**
 * The only waits in the tests. Each waits for an event. The limit is far longer than any event takes on a busy machine; it only
 * catches a hang. test/architecture/clock.test.ts rejects every other wait.
 */
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

/** Milliseconds after which a wait counts as a hang. */
export const HANGS = 90_000;
const BETWEEN = 10;

/** `await eventually(() => value).toBe(…)` reads the value until the expectation holds. */
export const eventually = <T>(read: () => T) => expect.poll(read, { timeout: HANGS, interval: BETWEEN });

/** Resolves when the condition holds. `eventually` works in tests only; this works in hooks and helpers too. */
export async function until(holds: () => unknown, what: () => string = () => `${holds}`): Promise<void> {
  for (let [waited, pause] = [0, 1]; !(await holds()); waited += pause) {
    if (waited >= HANGS) throw new Error(`waited in vain for ${what()}`);
    await sleep(pause);
    pause = Math.min(pause + 1, 2 * BETWEEN);
  }
}

/** Returns the promise's value. Rejects with the given name when the promise hangs. */
export async function ends<T>(what: string, promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  const hung = sleep(HANGS, undefined, { signal: over.signal }).then(
    () => Promise.reject(new Error(`${what} hangs`)),
    () => promise,
  );
  try {
    return await Promise.race([promise, hung]);
  } finally {
    over.abort();
  }
}

/** Lets one side of a test wait until the other side has reached a point. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Resolves after everything that is due in this process now. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A shell command that runs until it is killed. */
export const FOREVER = 'sleep 3600';

/** A shell command that waits for a file. It gives up when the folder is gone, so that a test that failed leaves nothing behind. */
export const untilThere = (file: string): string =>
  `until [ -e ${file} ] || [ ! -d ${dirname(file)} ]; do sleep 0.02; done`;

/** A shell command that takes as long as ten looks of `untilThere`. */
export const TEN_LOOKS = 'n=0; until [ $n = 10 ]; do sleep 0.02; n=$((n+1)); done';
