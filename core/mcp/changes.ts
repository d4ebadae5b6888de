import type { Surface } from '../serve/served.js';

/** Milliseconds before a source of changes that broke off is asked again. */
const PAUSE = 5_000;

/**
 * Hears of changes for as long as somebody wants to know: a source of them is a call that goes on, and a world has a budget of
 * calls at once. `tell` is given addresses, also those nobody asked about.
 */
export class Watching {
  private over: AbortController | undefined;

  constructor(
    private readonly changes: Surface['changes'],
    private readonly tell: (uri: string) => void,
  ) {}

  /** Starts, goes on, or stops. */
  wanted(wanted: boolean): void {
    if (wanted === (this.over !== undefined)) return;
    this.over?.abort();
    this.over = wanted ? new AbortController() : undefined;
    if (this.over !== undefined) for (const source of this.changes) void this.hear(source, this.over.signal);
  }

  private async hear(source: Surface['changes'][number], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const uri of source({ signal })) if (!signal.aborted) this.tell(uri);
      } catch {
        // A world that is frozen, or a dom0 that is away: nothing is told, and later it is tried again.
        await pause(PAUSE, signal);
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
