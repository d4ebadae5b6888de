import type * as JustBash from 'just-bash';

/**
 * The shell of the simulated qubes as it is in a process of its own. In one that the core runs in too, its hardening of the
 * language would be in the core's way:
 *
 *     vi.mock('just-bash', async (original) => unhardened(await original()));
 */
export function unhardened(original: typeof JustBash): typeof JustBash {
  class Bash extends original.Bash {
    constructor(options: JustBash.BashOptions) {
      super({ ...options, defenseInDepth: false });
    }
  }
  return { ...original, Bash } as typeof JustBash;
}
