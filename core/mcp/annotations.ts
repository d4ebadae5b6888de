import type { Effect } from '../api/index.js';

interface Hints {
  readonly readOnlyHint?: true;
  readonly destructiveHint?: boolean;
  readonly openWorldHint?: false;
}

/** What the protocol takes for granted, and what has no meaning beside another hint, is not said. */
const HINTS: Readonly<Record<Effect, Hints>> = {
  read: { readOnlyHint: true },
  write: { destructiveHint: false },
  destroy: { destructiveHint: true },
};

/** What a client may tell a person about a tool. The one place where an effect becomes hints. */
export function annotationsOf({ effect, openWorld }: { effect: Effect; openWorld?: boolean }): Hints {
  return { ...HINTS[effect], ...(!openWorld && { openWorldHint: false }) };
}
