import { SERVER_REFUSALS, REFUSALS as SPEC } from './generated/refusals.js';
import { frozen } from './internal/frozen.js';

/**
 * The codes of the control qube, about calls that dom0 did not hear of or did not answer. A hidden and a missing qube are refused
 * before that.
 */
export const OWN_REFUSALS = frozen({ ...SERVER_REFUSALS });

/**
 * The refusal codes an agent can see, each with the one plain sentence a tool result carries: what the agent can do, nothing
 * about the host. Closed: dom0 has its own from the same file, dom0/spec/refusals.toml.
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
