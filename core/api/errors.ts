import { REFUSALS as SPEC } from './generated/refusals.js';
import { frozen } from './internal/frozen.js';

/** The code of the control qube: dom0 cannot say that it said nothing. A hidden and a missing qube are refused before that. */
export const OWN_REFUSALS = frozen({
  'no-answer': {
    means: 'The server gave up waiting. Nothing is known about the call: it may still take effect.',
    agent:
      'No answer came in time, and the call may still take effect; look at the state before you try again.',
    operator:
      'Answer the question of qrexec in time, or raise qrexec.timeout; qmcp doctor shows whether dom0 answers.',
  },
});

/**
 * The refusal codes an agent can see, each with the one plain sentence a tool result carries: what the agent can do, nothing
 * about the host. Closed: dom0 has all but one of them from the same file, dom0/spec/refusals.toml.
 */
export const REFUSALS = Object.freeze(
  Object.fromEntries(Object.entries({ ...SPEC, ...OWN_REFUSALS }).map(([code, { agent }]) => [code, agent])),
) as Readonly<Record<RefusalCode, string>>;

type Dom0Code = keyof typeof SPEC;
export type RefusalCode = Dom0Code | keyof typeof OWN_REFUSALS;

/** Whether dom0 can send this code. */
export function isDom0Code(text: unknown): text is Dom0Code {
  return typeof text === 'string' && Object.hasOwn(SPEC, text);
}

export function isRefusalCode(text: unknown): text is RefusalCode {
  return typeof text === 'string' && Object.hasOwn(REFUSALS, text);
}

/** A refused call. The message is for logs; the agent gets the code, `next` and `data`. */
export class Refused extends Error {
  override readonly name = 'Refused';
  constructor(
    readonly code: RefusalCode,
    readonly data?: Readonly<Record<string, unknown>>,
  ) {
    super(code);
  }

  /** True for a refusal from another copy of this package, too: a plugin may bring its own. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'Refused' && isRefusalCode((value as Refused).code);
  }

  get next(): string {
    return REFUSALS[this.code];
  }
}
Object.freeze(Refused.prototype);
