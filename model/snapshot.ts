/** The actual state of the host for the judge, not an agent's view. */
import type { Rule, Tier } from '../core/api/index.js';

/** One qube as a check sees it. */
export interface QubeSnapshot {
  readonly name: string;
  readonly class: string;
  readonly state: string;
  readonly tags: readonly string[];
  readonly features: Readonly<Record<string, string>>;
  /** Property values as the Admin API prints them; an unset qube-valued property is the empty string. */
  readonly properties: Readonly<Record<string, string>>;
  /** Firewall rules in the Admin API's line format, in order. */
  readonly firewall: readonly string[];
  /** Persistent disk, in bytes. */
  readonly disk: number;
  /** Devices of other qubes that this one uses; undefined if they were not read. */
  readonly attached?: readonly {
    readonly devclass: string;
    readonly backend: string;
    readonly port: string;
  }[];
}

/** The state of dom0 besides its qubes. */
export interface Dom0Snapshot {
  /** Services whose contracts are installed. */
  readonly contracts: readonly string[];
  /** The policy's lines, without comments. */
  readonly policy: readonly string[];
  /** The audit log, oldest first. */
  readonly audit: readonly {
    readonly kind: string;
    readonly call?: string;
    /** Names of existing and new qubes in the call's arguments; undefined if they were not read. */
    readonly names?: readonly string[];
    /** The argument of a call on a qube, where it is not the name of that qube. */
    readonly argument?: string;
    /** The plan and the number of its step that the call carried out. */
    readonly plan?: string;
    readonly step?: number;
    /** Who says so, if dom0 did not see it. */
    readonly says?: string;
  }[];
}

export interface HostSnapshot {
  readonly qubes: readonly QubeSnapshot[];
  /** Undefined if it was not read. */
  readonly dom0?: Dom0Snapshot;
}

/** The most that a world may use of the host: bytes, MiB, numbers. Rates are not here, because a snapshot cannot show them. */
export interface BudgetSnapshot {
  readonly qubes: number;
  readonly disk: number;
  readonly private_size: number;
  readonly running: number;
  readonly memory: number;
  readonly vcpus: number;
}

/** The world a check is about, as the operator configured it in dom0. */
export interface WorldSnapshot {
  readonly name: string;
  readonly prefix: string;
  /** The names of the host's other worlds; without it there is none. */
  readonly others?: readonly string[];
  readonly principals: readonly string[];
  readonly gateways: readonly string[];
  /** Gateways that are declared to apply no rules; without it there is none. */
  readonly unfiltered?: readonly string[];
  readonly birthGateway: string | null;
  readonly birthCeiling: Tier;
  /** Names that no call may touch, whatever their tags. */
  readonly guarded: readonly string[];
  /** The most that its qubes may reach. */
  readonly egress: readonly Rule[];
  /** The properties and features that an agent may write. */
  readonly properties: readonly string[];
  readonly features: readonly string[];
  readonly budget: BudgetSnapshot;
  /** Whether the operator has frozen it. */
  readonly frozen: boolean;
}
