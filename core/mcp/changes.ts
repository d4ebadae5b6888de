import type { Surface } from '../serve/served.js';

/** Milliseconds to wait before a source of changes that failed is called again. */
const RETRY_MILLISECONDS = 5_000;

/**
 * Follows changes only while a client has subscribed: each source is a running call, and a world has a budget of concurrent
 * calls. Calls `notify` with every changed address, subscribed or not.
 */
export class ChangeWatcher {
  private controller: AbortController | undefined;

  constructor(
    private readonly changes: Surface['changes'],
    private readonly notify: (uri: string) => void,
  ) {}

  /** Starts or stops following; does nothing if it is already in that state. */
  setActive(active: boolean): void {
    if (active === (this.controller !== undefined)) return;
    this.controller?.abort();
    this.controller = active ? new AbortController() : undefined;
    if (this.controller !== undefined)
      for (const source of this.changes) void this.follow(source, this.controller.signal);
  }

  private async follow(source: Surface['changes'][number], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const uri of source({ signal })) if (!signal.aborted) this.notify(uri);
      } catch {
        // The world is frozen or dom0 does not answer. Try again later.
        await pause(RETRY_MILLISECONDS, signal);
      }
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // A signal that is aborted already sends no event, and the timer would keep the process alive.
    if (signal.aborted) return resolve();
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal.addEventListener('abort', over);
  });
}
