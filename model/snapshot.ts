/** The host as the judge sees it: the truth, not an agent's view. */
import type { Rule, Tier } from '../core/api/index.js';

/** One qube as a model check sees it. */
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
  /** Devices of other qubes that this one uses. Left out where nobody looked. */
  readonly attached?: readonly {
    readonly devclass: string;
    readonly backend: string;
    readonly port: string;
  }[];
}

/** What dom0 keeps besides its qubes. */
export interface Dom0Snapshot {
  /** Services whose contracts are installed. */
  readonly contracts: readonly string[];
  /** The policy's lines, without comments. */
  readonly policy: readonly string[];
  /** The audit log, oldest first. */
  readonly audit: readonly {
    readonly kind: string;
    readonly call?: string;
    /** Names in the call's arguments, of qubes and of those to be. Left out where nobody looked. */
    readonly names?: readonly string[];
  }[];
}

export interface HostSnapshot {
  readonly qubes: readonly QubeSnapshot[];
  /** Left out where nobody looked. */
  readonly dom0?: Dom0Snapshot;
}

/** What a world may use of the host at most: bytes, MiB, numbers. Rates are not about the host's state, and so not here. */
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
  readonly principals: readonly string[];
  readonly gateways: readonly string[];
  readonly birthGateway: string | null;
  readonly birthCeiling: Tier;
  /** Names no call touches, whatever tags they carry. */
  readonly guarded: readonly string[];
  /** The farthest its qubes reach. */
  readonly egress: readonly Rule[];
  /** What an agent may write. */
  readonly properties: readonly string[];
  readonly features: readonly string[];
  readonly budget: BudgetSnapshot;
  /** Whether the operator has stopped it. */
  readonly frozen: boolean;
}
