/** The data that the daemon keeps about a qube and its devices. Nothing here is computed. */
import type { Volume } from './volume.js';

export type QubeClass = 'AdminVM' | 'TemplateVM' | 'AppVM' | 'StandaloneVM' | 'DispVM' | 'RemoteVM';
export const QUBE_CLASSES: readonly QubeClass[] = [
  'AdminVM',
  'AppVM',
  'DispVM',
  'RemoteVM',
  'StandaloneVM',
  'TemplateVM',
];

/** A stored property; a qube-valued one holds the qube's name, or null for none. */
export type PropertyValue = string | number | boolean | null;

/** The state of a qube's domain. `Transient` is derived: it runs, and qrexec has not started yet. */
export type PowerState = 'Halted' | 'Running' | 'Paused' | 'Suspended' | 'Halting' | 'Dying' | 'Crashed';

export const DEVICE_CLASSES = ['block', 'mic', 'pci', 'usb'] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

/** A device as the qube that has it (its backend) exposes it. */
export interface Device {
  readonly backend: Qube;
  readonly devclass: DeviceClass;
  readonly port: string;
  readonly id: string;
  readonly interfaces: string;
  /** The known ones of vendor, product, manufacturer, name and serial. */
  readonly labels: ReadonlyMap<string, string>;
  readonly parent: string | null;
  readonly mode: 'r' | 'w';
  readonly size: number;
}

export type Mode = 'manual' | 'auto-attach' | 'ask-to-attach' | 'required';

/** A device, or every device of a port (`id` = `*`), that a qube gets at every start. */
export interface Assignment {
  readonly backend: string;
  readonly port: string;
  readonly id: string;
  readonly mode: Mode;
  readonly options: ReadonlyMap<string, string>;
  /** The target qube if the assigner named it; shown only then. */
  readonly frontend: string | null;
}

export interface Attachment {
  readonly device: Device;
  readonly options: ReadonlyMap<string, string>;
}

export interface Devices {
  readonly exposed: Map<DeviceClass, Device[]>;
  readonly attached: Map<DeviceClass, Attachment[]>;
  readonly assigned: Map<DeviceClass, Assignment[]>;
}

/** A device as a caller names it. */
export interface DeviceRef {
  readonly backend: string;
  readonly port: string;
  readonly id: string;
}

/** One qube: what the daemon keeps about it, and nothing that it computes. */
export class Qube {
  /** Properties that were set; all others have their default value. */
  readonly set = new Map<string, PropertyValue>();
  readonly tags = new Set<string>();
  /** In the order in which they were first set. */
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
  /** A waited-for shutdown timed out: see `power.ts`. */
  waiterCancelled = false;
  /** Somebody has requested this preloaded disposable and has not received it yet. */
  preloadRequested = false;
  /** Starts and removals of one qube happen one after the other. */
  startup: Promise<unknown> = Promise.resolve();

  readonly class: QubeClass;

  constructor(
    readonly name: string,
    qubeClass: QubeClass,
    readonly uuid: string,
    readonly qid: number,
  ) {
    this.class = qubeClass;
  }

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
