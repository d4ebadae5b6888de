import type { Effect } from '../api/index.js';

interface Hints {
  readonly readOnlyHint?: true;
  readonly destructiveHint?: boolean;
  readonly idempotentHint?: true;
  readonly openWorldHint?: false;
}

/** Omits hints that equal the protocol's defaults, and hints that have no meaning beside another. */
const HINTS: Readonly<Record<Effect, Hints>> = {
  read: { readOnlyHint: true },
  write: { destructiveHint: false },
  destroy: { destructiveHint: true },
};

interface Effects {
  readonly effect: Effect;
  readonly idempotent?: boolean;
  readonly openWorld?: boolean;
}

/** The hints that a client may show to a person. The only place where the effect of a tool becomes hints. */
export function annotationsOf({ effect, idempotent, openWorld }: Effects): Hints {
  return {
    ...HINTS[effect],
    ...(idempotent && effect !== 'read' && { idempotentHint: true }),
    ...(!openWorld && { openWorldHint: false }),
  };
}
