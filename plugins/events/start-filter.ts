import type { KINDS } from './services.js';

export type Kind = (typeof KINDS)[number];

/**
 * Leaves out the `resumed` event of a qube's start: the platform creates a qube paused and resumes it, with the same event as
 * after a pause.
 */
export class StartFilter {
  private readonly starting = new Set<string>();

  /** Whether an agent should see the event. */
  keeps(event: Kind, qube: string): boolean {
    if (event === 'starting') this.starting.add(qube);
    else if (event === 'resumed') return !this.starting.has(qube);
    else if (event !== 'changed' && event !== 'network-changed' && event !== 'rules-changed')
      this.starting.delete(qube);
    return true;
  }
}
