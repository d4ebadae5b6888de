/** Where an invariant is enforced: by the kernel in dom0, or by the qrexec policy that dom0 evaluates. */
export type EnforcedBy = 'dom0' | 'policy';

/** One qube as a model check sees it: the host's truth, not an agent's view. */
export interface QubeSnapshot {
  readonly name: string;
  readonly klass: string;
  readonly state: string;
  readonly tags: readonly string[];
  readonly features: Readonly<Record<string, string>>;
  /** Property values as the Admin API prints them; an unset qube-valued property is the empty string. */
  readonly properties: Readonly<Record<string, string>>;
  /** Firewall rules in the Admin API's line format, in order. */
  readonly firewall: readonly string[];
  /** Persistent disk, in bytes. */
  readonly disk: number;
}

export interface HostSnapshot {
  readonly qubes: readonly QubeSnapshot[];
}

/** The world a check is about, as the operator configured it in dom0. */
export interface WorldSnapshot {
  readonly name: string;
  readonly prefix: string;
  readonly principals: readonly string[];
  readonly gateways: readonly string[];
  readonly birthGateway: string | null;
}

/**
 * A named statement about the host that holds whatever the agent does. A plugin declares it; dom0 enforces it under the
 * same id with the same `with` parameters, or the core refuses the plugin.
 */
export interface Invariant {
  readonly id: string;
  readonly statement: string;
  readonly enforcedBy: EnforcedBy;
  /** Parameters dom0 must have for this invariant, compared as canonical JSON. */
  readonly with: Readonly<Record<string, unknown>>;
  /** The model check: true when the step from `before` to `after` kept the statement true. */
  holds(before: HostSnapshot, after: HostSnapshot, world: WorldSnapshot): boolean;
}

export function defineInvariant(
  id: string,
  invariant: Omit<Invariant, 'id' | 'with'> & { with?: Readonly<Record<string, unknown>> },
): Invariant {
  return Object.freeze({ ...invariant, id, with: invariant.with ?? {} });
}
