import { REFUSALS as SPEC } from './generated/refusals.js';

/**
 * The refusal codes an agent can see, each with the one plain sentence a tool result carries: what the agent can do, nothing
 * about the host. Closed: dom0 has them from the same file, dom0/spec/refusals.toml.
 */
export const REFUSALS = Object.freeze(
  Object.fromEntries(Object.entries(SPEC).map(([code, { agent }]) => [code, agent])),
) as Readonly<Record<RefusalCode, string>>;

export type RefusalCode = keyof typeof SPEC;

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
