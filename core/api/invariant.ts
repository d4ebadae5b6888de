import { INVARIANTS as SPEC } from './generated/invariants.js';
import { frozen } from './internal/frozen.js';

/** Every invariant dom0 enforces, in the order of dom0/spec/invariants.toml. dom0 refuses a contract that names any other. */
export const INVARIANTS = frozen(SPEC);

/** Where an invariant is enforced: by the kernel in dom0, or by the qrexec policy that dom0 evaluates. */
export type EnforcedBy = 'dom0' | 'policy';

/**
 * A named statement about the host that holds whatever the agent does. A plugin declares it by its id and parameters; dom0
 * enforces it under the same id with the same parameters, or the core refuses the plugin.
 */
export interface Invariant {
  readonly id: string;
  /** Parameters dom0 must have for this invariant, compared as canonical JSON. */
  readonly with: Readonly<Record<string, unknown>>;
}

export type InvariantId = keyof typeof INVARIANTS;

/** Whether this release knows an invariant of that id. */
export function isInvariantId(id: string): id is InvariantId {
  return Object.hasOwn(INVARIANTS, id);
}

/** The statement of an invariant, or its id if this release does not know it. */
export const statementOf = (id: string): string => (isInvariantId(id) ? INVARIANTS[id].statement : id);
