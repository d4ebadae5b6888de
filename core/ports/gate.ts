import { Refused } from '../api/index.js';
import type { Qrexec, QrexecRequest, QrexecResult } from './qrexec.js';
import { currentSession, waitFor } from './scope.js';

/** The most calls that wait, of one session and of all together. */
const MAX_WAITING = { session: 128, all: 512 };
/** Seconds that a call takes, as long as nobody knows better. */
const USUAL_SECONDS = 1;
/** The most seconds that a refused caller is told to wait. */
const MAX_SECONDS = 60;
/** The weight of the latest call in the usual time of one. */
const WEIGHT = 0.2;

interface Waiter {
  readonly isLong: boolean;
  start(): void;
}

/**
 * Keeps the calls to dom0 within the number that a world may have in progress. Further calls wait, and each session gets its
 * turn; only if too many wait is one refused. Calls that go on for minutes leave a place for the others, so that they cannot
 * hold up everything.
 */
export class Gate {
  /** For calls that end by themselves. Unlike others, this connection may reject: with the refusal `busy`. */
  readonly short: Qrexec = { call: (request) => this.call(request, false) };
  /** For calls that go on for as long as their caller listens. */
  readonly long: Qrexec = { call: (request) => this.call(request, true) };

  private inProgress = 0;
  private longInProgress = 0;
  private waiting = 0;
  private usualSeconds = USUAL_SECONDS;
  /** By session, in the order of their turns. */
  private readonly queues = new Map<object, Waiter[]>();
  private readonly anonymous = {};

  constructor(
    private readonly qrexec: Qrexec,
    private readonly limit: number,
    private readonly now = () => performance.now(),
  ) {}

  private async call(request: QrexecRequest, isLong: boolean): Promise<QrexecResult> {
    if (this.admits(isLong)) this.count(1, isLong);
    else if (!(await this.wait(isLong, request.signal)))
      return { ended: 'aborted', exit: null, stdout: new Uint8Array(), stderr: '' };
    const begun = this.now();
    try {
      return await waitFor('dom0', () => this.qrexec.call(request));
    } finally {
      if (!isLong) this.usualSeconds += WEIGHT * ((this.now() - begun) / 1000 - this.usualSeconds);
      this.count(-1, isLong);
      this.startNext();
    }
  }

  private admits(isLong: boolean): boolean {
    if (this.inProgress >= this.limit) return false;
    return !isLong || this.longInProgress < Math.max(this.limit - 1, 1);
  }

  private count(change: 1 | -1, isLong: boolean): void {
    this.inProgress += change;
    if (isLong) this.longInProgress += change;
  }

  /** Resolves with true when the caller has a place, and with false when the caller has gone. Throws `busy` if too many wait. */
  private wait(isLong: boolean, signal: AbortSignal | undefined): Promise<boolean> {
    const session = currentSession() ?? this.anonymous;
    const queue = this.queues.get(session) ?? [];
    if (queue.length >= MAX_WAITING.session || this.waiting >= MAX_WAITING.all) throw this.busy();
    if (signal?.aborted) return Promise.resolve(false);
    this.queues.set(session, queue);
    this.waiting += 1;
    const turn = new Promise<boolean>((resolve) => {
      const leave = () => {
        queue.splice(queue.indexOf(waiter), 1);
        this.waiting -= 1;
        if (queue.length === 0) this.queues.delete(session);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        isLong,
        start: () => {
          leave();
          // Before anybody else can take the place.
          this.count(1, isLong);
          resolve(true);
        },
      };
      const onAbort = () => {
        leave();
        resolve(false);
      };
      queue.push(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
    return waitFor(`${this.waiting} other calls to dom0`, () => turn);
  }

  /** Starts the first waiting call that may start, of the session whose turn it is. */
  private startNext(): void {
    for (const [session, queue] of this.queues) {
      const waiter = queue.find(({ isLong }) => this.admits(isLong));
      if (waiter === undefined) continue;
      // The session goes to the end of the order.
      this.queues.delete(session);
      this.queues.set(session, queue);
      waiter.start();
      return;
    }
  }

  private busy(): Refused {
    const seconds = Math.ceil((this.waiting * this.usualSeconds) / this.limit);
    return new Refused('busy', { retry_after_seconds: Math.min(Math.max(seconds, 1), MAX_SECONDS) });
  }
}
