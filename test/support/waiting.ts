/**
 * How tests wait: for something that comes, never for a time. The one limit is far beyond what anything takes on the slowest
 * machine, and only catches what would hang. test/architecture/clock.test.ts keeps every other wait out of the tests.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';

/** Milliseconds after which whatever a test waits for is not going to come. */
export const HANGS = 90_000;
const BETWEEN = 10;

/** `await eventually(() => value).toBe(…)`: reads it again and again until it is so. */
export const eventually = <T>(read: () => T) => expect.poll(read, { timeout: HANGS, interval: BETWEEN });

/** Resolves when this holds. For hooks and helpers, which `eventually` is not for. */
export async function until(holds: () => unknown, what: () => string = () => `${holds}`): Promise<void> {
  for (let [waited, pause] = [0, 1]; !(await holds()); waited += pause) {
    if (waited >= HANGS) throw new Error(`waited in vain for ${what()}`);
    await sleep(pause);
    pause = Math.min(pause + 1, 2 * BETWEEN);
  }
}

/** What this promise comes to; rejects when it hangs, and says what did. */
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

/** A promise, and what lets it go: for one side of a test to wait until the other has come so far. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Everything that is due in this process by now has happened. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** For a shell: what goes on until it is ended. */
export const FOREVER = 'sleep 3600';

/** For a shell: goes on until there is this file. */
export const untilThere = (file: string): string => `until [ -e ${file} ]; do sleep 0.02; done`;

/** For a shell: as long as ten others of `untilThere` beside it take to see that their file has come. */
export const TEN_LOOKS = 'n=0; until [ $n = 10 ]; do sleep 0.02; n=$((n+1)); done';
