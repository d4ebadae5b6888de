import type { Effect } from '../api/index.js';

interface Hints {
  readonly readOnlyHint?: true;
  readonly destructiveHint?: boolean;
  readonly openWorldHint?: false;
}

/** Omits hints that equal the protocol's defaults, and hints that have no meaning beside another. */
const HINTS: Readonly<Record<Effect, Hints>> = {
  read: { readOnlyHint: true },
  write: { destructiveHint: false },
  destroy: { destructiveHint: true },
};

/** The hints that a client may show to a person. The only place where an effect becomes hints. */
export function annotationsOf({ effect, openWorld }: { effect: Effect; openWorld?: boolean }): Hints {
  return { ...HINTS[effect], ...(!openWorld && { openWorldHint: false }) };
}
