import type { Surface } from '../serve/served.js';

/** Milliseconds before a source of changes that broke off is asked again. */
const RETRY_MILLISECONDS = 5_000;

/**
 * Hears of changes for as long as somebody wants to know: a source of them is a call that goes on, and a world has a budget of
 * calls at once. `tell` is given addresses, also those nobody asked about.
 */
export class ChangeWatcher {
  private controller: AbortController | undefined;

  constructor(
    private readonly changes: Surface['changes'],
    private readonly notify: (uri: string) => void,
  ) {}

  /** Starts, goes on, or stops. */
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
        // A world that is frozen, or a dom0 that is away: nothing is told, and later it is tried again.
        await pause(RETRY_MILLISECONDS, signal);
      }
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
