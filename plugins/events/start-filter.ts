import type { KINDS } from './services.js';

export type Kind = (typeof KINDS)[number];

/**
 * Leaves out what a qube's start brings with it: the platform makes a qube paused and lets it go on, and tells of that as it
 * tells of a pause that ends.
 */
export class StartFilter {
  private readonly starting = new Set<string>();

  /** Whether it is worth telling. */
  keeps(event: Kind, qube: string): boolean {
    if (event === 'starting') this.starting.add(qube);
    else if (event === 'resumed') return !this.starting.has(qube);
    else if (event !== 'changed' && event !== 'network-changed' && event !== 'rules-changed')
      this.starting.delete(qube);
    return true;
  }
}
