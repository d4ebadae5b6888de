import type { Devices } from './devices.js';
import type { Volume } from './storage.js';

export type Klass = 'AdminVM' | 'TemplateVM' | 'AppVM' | 'StandaloneVM' | 'DispVM' | 'RemoteVM';
export const KLASSES: readonly Klass[] = [
  'AdminVM',
  'AppVM',
  'DispVM',
  'RemoteVM',
  'StandaloneVM',
  'TemplateVM',
];

/** What is stored under a property; a qube-valued property holds the qube's name, null is none. */
export type PropertyValue = string | number | boolean | null;

/** How a qube stands with its hypervisor. `Transient` is derived: running, and qrexec is not up yet. */
export type PowerState = 'Halted' | 'Running' | 'Paused' | 'Suspended' | 'Halting' | 'Dying' | 'Crashed';

/** One qube: what the daemon keeps about it, and nothing that it computes. */
export class Qube {
  /** Properties that were set; all others have their default. */
  readonly set = new Map<string, PropertyValue>();
  readonly tags = new Set<string>();
  /** In the order in which they were set first. */
  readonly features = new Map<string, string>();
  /** Rules in canonical form. */
  firewall: readonly string[] = ['action=accept'];
  volumes = new Map<string, Volume>();
  notes = '';
  power: PowerState = 'Halted';
  /** False from the start of the domain until its qrexec answers. */
  usable = false;
  xid = -1;
  /** Seconds since the epoch, of the running domain. */
  startTime: number | null = null;
  readonly devices: Devices = { exposed: new Map(), attached: new Map(), assigned: new Map() };
  /** A shutdown that was waited for in vain: see `power.ts`. */
  waiterCancelled = false;
  /** Somebody asked for this preloaded disposable and has not been given it yet. */
  preloadRequested = false;
  /** Starts and removals of one qube happen one after the other. */
  startup: Promise<unknown> = Promise.resolve();

  constructor(
    readonly name: string,
    readonly klass: Klass,
    readonly uuid: string,
    readonly qid: number,
  ) {}

  toString(): string {
    return this.name;
  }

  get halted(): boolean {
    return this.power === 'Halted' || this.power === 'Crashed';
  }

  get running(): boolean {
    return !this.halted;
  }
}

export const DOM0_UUID = '00000000-0000-0000-0000-000000000000';
