/**
 * The refusal codes an agent can see. Closed: dom0 uses the same set (`dom0/settings/vocabulary.toml`), and a test holds the two
 * together. `next` is the one plain sentence a tool result carries: what the agent can do, nothing about the host.
 */
export const REFUSALS = {
  'invalid-request': 'The request is malformed; check the arguments against the tool schema.',
  'not-found':
    'There is no such qube here, or this is not available for it; use qube_list to see what there is.',
  'name-not-allowed': 'That name is not allowed; choose one that starts with the prefix qube_list shows.',
  'name-taken': 'A qube of that name already exists; choose another name.',
  'not-permitted': 'That value is not permitted here, whatever the state of the qube; do not retry it.',
  'over-budget': 'The budget does not allow this; free something first.',
  'rate-limited': 'Too many calls; wait a minute before trying again.',
  busy: 'Another call is working on this; try again shortly.',
  frozen: 'The operator has frozen this world; nothing can be changed until it is thawed.',
  conflict: 'The qube is not in a state that allows this; look at qube_state and try again.',
  failed: 'The call failed; the operator can find the reason. Look at qube_list before trying again.',
} as const;
Object.freeze(REFUSALS);

export type RefusalCode = keyof typeof REFUSALS;

export function isRefusalCode(text: unknown): text is RefusalCode {
  return typeof text === 'string' && Object.hasOwn(REFUSALS, text);
}

/** A call that did not happen. The message is for people's logs; the agent gets the code, `next` and `data`. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(
    readonly code: RefusalCode,
    readonly data?: Readonly<Record<string, unknown>>,
  ) {
    super(code);
  }

  /** Also one of another copy of this package: a plugin may bring its own. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'Refused' && isRefusalCode((value as Refused).code);
  }

  get next(): string {
    return REFUSALS[this.code];
  }
}
Object.freeze(Refused.prototype);
