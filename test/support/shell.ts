import type * as JustBash from 'just-bash';

/**
 * The shell of the simulated qubes as it is in a separate process. In the core's process, its hardening of the language would
 * disturb the core. Use it in `vi.mock('just-bash', …)`, as test/tools/table.test.ts does.
 */
export function unhardened(original: typeof JustBash): typeof JustBash {
  class Bash extends original.Bash {
    constructor(options: JustBash.BashOptions) {
      super({ ...options, defenseInDepth: false });
    }
  }
  return { ...original, Bash } as typeof JustBash;
}
